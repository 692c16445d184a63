package configs

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Environments are the names under environments in a file, sorted. What stands under the one that flowgate.environment (or
// FLOWGATE_ENVIRONMENT) names is laid over the rest of the file: any key of any section; maps are added to, lists replaced.
// The others are checked as strictly, but for their variables and files of secrets, which only their machines have.
type Environments []string

// subtree is the subtree of one environment.
type subtree struct {
	node ast.Node
	line int
}

const environmentsKey = "environments"

// environments keeps the subtrees until everything else is read.
func (d *decoder) environments(p, at place, n ast.Node, into reflect.Value) {
	if p.key != "" {
		d.fault(at, "cannot stand inside of an environment")
		return
	}
	n = d.resolve(at, n)
	if isNull(n) {
		return
	}
	for _, kv := range d.pairs(at, n) {
		if !environmentForm.MatchString(kv.key) {
			d.fault(at.child(clip(kv.key), kv.line), "must be a name of a-z, 0-9, _ and -")
			continue
		}
		d.overlays[kv.key] = subtree{kv.value, kv.line}
	}
	into.Set(reflect.ValueOf(Environments(slices.Sorted(maps.Keys(d.overlays)))))
}

// lay lays an environment over settings. Its keys are in d.lines under environments.<name>.
func (d *decoder) lay(base Settings, name string) Settings {
	o, given := d.overlays[name]
	if !given {
		return base
	}
	d.adding = true
	at := place{line: o.line}.child(environmentsKey, o.line).child(name, o.line)
	d.value(at, o.node, reflect.ValueOf(&base).Elem())
	d.adding = false
	chosen := at.child("flowgate.environment", 0)
	if line, given := d.lines[chosen.key]; given {
		d.fault(at.child("flowgate.environment", line), "cannot be chosen inside of an environment")
	}
	return base
}

// origins are those of the keys that the file gives, for the environment that holds.
func (d *decoder) origins(name string) origins {
	given := origins{}
	prefix := environmentsKey + "." + name + "."
	for key, line := range d.lines {
		if !strings.HasPrefix(key, environmentsKey+".") {
			if _, laid := d.lines[prefix+key]; !laid {
				given[key] = Origin{Source: FromFile, File: d.file, Line: line, SecretFile: d.secretFiles[key]}
			}
		} else if plain, holds := strings.CutPrefix(key, prefix); holds {
			given[plain] = Origin{Source: FromEnvironment, File: d.file, Line: line, Environment: name, SecretFile: d.secretFiles[key]}
		}
	}
	return given
}

// checkOthers reports what is wrong in the environments that do not hold, and tells what would hold in them.
func (d *decoder) checkOthers(base Settings, holds string) map[string]Loaded {
	others := map[string]Loaded{}
	d.dry = true
	for _, name := range base.Environments {
		if name == holds {
			continue
		}
		s := d.lay(base, name)
		given := d.origins(name)
		s.complete(given)
		others[name] = Loaded{Settings: s, given: given}
		for _, fault := range faultsIn(s.Validate()) {
			if given.of(fault.Key).Source == FromEnvironment {
				d.faults = append(d.faults, located(fault, given))
			}
		}
	}
	d.dry = false
	return others
}
