package configs

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// Loaded are settings that hold, with the story of each.
type Loaded struct {
	Settings

	// Warnings are keys that do not do what their author may expect.
	Warnings []Warning

	given origins
	// others are what would hold in the environments that do not.
	others map[string]Loaded
}

// Load is Read without the story.
func Load(path string, env func(string) (string, bool)) (Settings, []Warning, error) {
	l, err := Read(path, env)
	return l.Settings, l.Warnings, err
}

// Read reads the settings: the defaults, over them the file, over it the file's environment that holds, over all the
// variables. An empty path leaves the file out. The error names every fault at once, each with file, line and key where it
// has them; it never shows a value that may be a secret. env is os.LookupEnv outside of tests; nil is an empty environment.
func Read(path string, env func(string) (string, bool)) (Loaded, error) {
	var data []byte
	if path != "" {
		var err error
		if data, err = readFile(path, MaxSettingsBytes); err != nil {
			return Loaded{}, err
		}
	}
	return read(path, data, env)
}

// load is Load of a file's content.
func load(file string, data []byte, env Lookup) (Settings, []Warning, error) {
	l, err := read(file, data, env)
	return l.Settings, l.Warnings, err
}

// read is Read of a file's content.
func read(file string, data []byte, env Lookup) (Loaded, error) {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	s := Default()
	d, err := decodeYAML(file, data, env, &s)
	if err != nil && len(d.faults) == 0 {
		return Loaded{}, err // it is no YAML
	}
	holds := s.environmentName(env)
	others := d.checkOthers(s, holds)
	s = d.lay(s, holds)
	given := d.origins(holds)
	wrong := append(d.faults, s.applyVariables(env, given)...)
	s.complete(given)
	wrong = append(wrong, s.remaining(d.faults, given)...)
	if err := errors.Join(wrong...); err != nil {
		return Loaded{}, err
	}
	warnings := append(d.warnings, s.warnings(given)...)
	slices.SortStableFunc(warnings, func(a, b Warning) int { return cmp.Compare(a.Line, b.Line) })
	return Loaded{Settings: s, Warnings: warnings, given: given, others: others}, nil
}

// remaining are the faults of values, without those whose keys could not be read.
func (s Settings) remaining(before []error, given origins) []error {
	unread := map[string]bool{}
	for _, err := range before {
		if fault, ok := errors.AsType[*Fault](err); ok {
			unread[fault.Key] = true
		}
	}
	var rest []error
	for _, fault := range faultsIn(s.Validate()) {
		found := located(fault, given)
		key, skip := found.Key, unread[fault.Key]
		for !skip && key != "" {
			skip = unread[key]
			key = key[:max(0, strings.LastIndexByte(key, '.'))]
		}
		if !skip {
			rest = append(rest, found)
		}
	}
	return rest
}

// faultsIn are the faults that Validate has joined.
func faultsIn(err error) []*Fault {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var found []*Fault
	for _, one := range joined.Unwrap() {
		if fault, ok := errors.AsType[*Fault](one); ok {
			found = append(found, fault)
		}
	}
	return found
}

// located is a fault with the place where its value comes from: file and line, or the variable.
func located(fault *Fault, given origins) *Fault {
	at := *fault
	switch origin := given.of(fault.Key); origin.Source {
	case FromVariable:
		at.File = "environment variable " + origin.Variable
	case FromEnvironment:
		at.File, at.Line, at.Key = origin.File, origin.Line, environmentsKey+"."+origin.Environment+"."+fault.Key
	case FromFile:
		at.File, at.Line = origin.File, origin.Line
	case FromDefault:
	}
	return &at
}
