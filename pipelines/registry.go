package pipelines

import (
	"fmt"
	"strings"

	"flowgate/messages"
)

// CycleError says that services need one another in a circle.
type CycleError struct {
	// Path is the circle; it begins and ends with the same name.
	Path []messages.LayerName
}

func (e *CycleError) Error() string {
	return "services need one another in a circle: " + join(e.Path, " → ")
}

// UnknownNeedError says that a service needs one that does not exist.
type UnknownNeedError struct {
	Service, Need messages.LayerName
	// Nearest is the existing name that is most like it; empty where none is.
	Nearest messages.LayerName
}

func (e *UnknownNeedError) Error() string {
	text := fmt.Sprintf("service %s needs %q, which does not exist", e.Service, string(e.Need))
	if e.Nearest != "" {
		text += fmt.Sprintf(" (did you mean %s?)", e.Nearest)
	}
	return text
}

// Order sorts services so that each comes after those that it needs; among those that are free it keeps the order in which
// they are declared. A circle is a *CycleError, a need that does not exist an *UnknownNeedError.
func Order(services []Layer) ([]Layer, error) {
	byName := make(map[messages.LayerName]*Layer, len(services))
	for i := range services {
		if byName[services[i].Name] != nil {
			return nil, fmt.Errorf("service %s is declared twice", services[i].Name)
		}
		byName[services[i].Name] = &services[i]
	}
	s := sorter{byName: byName, mark: make(map[messages.LayerName]mark, len(services))}
	for _, service := range services {
		for _, need := range service.Needs {
			if byName[need] == nil {
				return nil, &UnknownNeedError{Service: service.Name, Need: need, Nearest: nearest(need, services)}
			}
		}
	}
	for len(s.order) < len(services) {
		if !s.takeFree(services) {
			return nil, s.circle(services)
		}
	}
	return s.order, nil
}

type mark int

const (
	unseen mark = iota
	onPath
	ordered
)

type sorter struct {
	byName map[messages.LayerName]*Layer
	mark   map[messages.LayerName]mark
	order  []Layer
}

// takeFree takes the first service in order of declaration whose needs are all ordered; false: there is none.
func (s *sorter) takeFree(services []Layer) bool {
	for _, service := range services {
		if s.mark[service.Name] == ordered || !s.free(service) {
			continue
		}
		s.mark[service.Name] = ordered
		s.order = append(s.order, service)
		return true
	}
	return false
}

func (s *sorter) free(service Layer) bool {
	for _, need := range service.Needs {
		if s.mark[need] != ordered {
			return false
		}
	}
	return true
}

// circle finds the circle that keeps services from being ordered: from one of them, each step goes to a need that is not
// ordered, until a name comes again.
func (s *sorter) circle(services []Layer) error {
	var path []messages.LayerName
	var at *Layer
	for i := range services {
		if s.mark[services[i].Name] != ordered {
			at = &services[i]
			break
		}
	}
	for s.mark[at.Name] != onPath {
		s.mark[at.Name] = onPath
		path = append(path, at.Name)
		for _, need := range at.Needs {
			if s.mark[need] != ordered {
				at = s.byName[need]
				break
			}
		}
	}
	for i, name := range path {
		if name == at.Name {
			return &CycleError{Path: append(path[i:], at.Name)}
		}
	}
	return &CycleError{Path: path}
}

// Standing is what became of a service when the services were started.
type Standing struct {
	Service messages.LayerName
	// Err is why its own start failed.
	Err error
	// BlockedBy is the service whose failed start keeps this one from being started; empty where none does.
	BlockedBy messages.LayerName
}

// Started tells whether it runs.
func (s Standing) Started() bool { return s.Err == nil && s.BlockedBy == "" }

func (s Standing) String() string {
	switch {
	case s.Err != nil:
		return fmt.Sprintf("%s did not start: %v", s.Service, s.Err)
	case s.BlockedBy != "":
		return fmt.Sprintf("%s is blocked: it needs %s, which did not start", s.Service, s.BlockedBy)
	}
	return fmt.Sprintf("%s started", s.Service)
}

// Bring starts services in their order. One that needs, directly or through others, a service whose start failed is
// blocked by that one and never started; the others go on.
func Bring(ordered []Layer, start func(Layer) error) []Standing {
	standings := make([]Standing, 0, len(ordered))
	culprit := make(map[messages.LayerName]messages.LayerName)
	for _, service := range ordered {
		s := Standing{Service: service.Name}
		for _, need := range service.Needs {
			if culprit[need] != "" {
				s.BlockedBy = culprit[need]
				break
			}
		}
		if s.BlockedBy == "" {
			if s.Err = start(service); s.Err != nil {
				culprit[service.Name] = service.Name
			}
		} else {
			culprit[service.Name] = s.BlockedBy
		}
		standings = append(standings, s)
	}
	return standings
}

// nearest is the name of a service that is most like a name, within half of its length of edits.
func nearest(name messages.LayerName, services []Layer) messages.LayerName {
	var best messages.LayerName
	least := len(name)/2 + 1
	for _, s := range services {
		if d := edits(string(name), string(s.Name)); d < least {
			best, least = s.Name, d
		}
	}
	return best
}

// Nearest is the name of the chain that is most like a name, for those who mistyped it; empty where none is.
func Nearest(name string) messages.LayerName { return nearest(messages.LayerName(name), Chain()) }

// edits is the Levenshtein distance in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			swap := corner
			if a[i] != b[j] {
				swap++
			}
			corner, row[j+1] = row[j+1], min(swap, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func join(names []messages.LayerName, between string) string {
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = string(n)
	}
	return strings.Join(words, between)
}
