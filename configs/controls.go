package configs

import (
	"errors"

	"flowgate/pipelines/compliance"
)

// MaxControlsBytes bounds the file of controls.
const MaxControlsBytes = 1 << 20

// controlsEntry is compliance.Document as controls.yaml has it.
type controlsEntry struct {
	Levels     map[string][]string     `yaml:"levels"`
	Purposes   map[string]purposeEntry `yaml:"purposes"`
	Transfers  map[string]string       `yaml:"transfers"`
	Associates []string                `yaml:"associates"`
	Retention  retentionEntry          `yaml:"retention"`
	Sets       []setEntry              `yaml:"sets"`
}

type purposeEntry struct {
	LegalBasis        string   `yaml:"legal_basis"`
	Data              []string `yaml:"data"`
	SpecialCategories string   `yaml:"special_categories"`
}

type retentionEntry struct {
	Class string `yaml:"class"`
	Days  int64  `yaml:"days"`
}

type setEntry struct {
	ID       string         `yaml:"id"`
	Title    string         `yaml:"title"`
	Controls []controlEntry `yaml:"controls"`
}

type controlEntry struct {
	ID       string   `yaml:"id"`
	Clause   string   `yaml:"clause"`
	Says     string   `yaml:"says"`
	Stages   []string `yaml:"stages"`
	Severity string   `yaml:"severity"`
	Gate     bool     `yaml:"gate"`
	Applies  string   `yaml:"applies"`
	Pass     string   `yaml:"pass"`
	Evidence []string `yaml:"evidence"`
	Missing  string   `yaml:"missing"`
}

// LoadControls reads and compiles controls.yaml. An empty path reads the embedded one. Its error joins a *Fault for everything that
// is wrong.
func LoadControls(path string) (*compliance.Book, error) {
	if path == "" {
		return decodeControls("controls.yaml", embeddedControls)
	}
	data, err := readFile(path, MaxControlsBytes)
	if err != nil {
		return nil, err
	}
	return decodeControls(path, data)
}

func decodeControls(file string, data []byte) (*compliance.Book, error) {
	var entry controlsEntry
	d, err := decodeYAML(file, data, nil, &entry)
	if err != nil {
		return nil, err
	}
	book, err := compliance.Compile(entry.document())
	if err == nil {
		return book, nil
	}
	var wrong faults
	for _, one := range split(err) {
		at := &Fault{File: file, Text: one.Error()}
		if place, ok := errors.AsType[*compliance.Fault](one); ok {
			at.Key, at.Line, at.Text = place.Where, d.lines[place.Where], place.Text
		}
		wrong = append(wrong, at)
	}
	return nil, wrong.join()
}

func (e controlsEntry) document() compliance.Document {
	d := compliance.Document{
		Levels: e.Levels, Transfers: e.Transfers, Associates: e.Associates,
		Purposes: make(map[string]compliance.Purpose, len(e.Purposes)), Retention: compliance.Retention(e.Retention),
	}
	for name, p := range e.Purposes {
		d.Purposes[name] = compliance.Purpose(p)
	}
	for _, s := range e.Sets {
		set := compliance.Set{ID: s.ID, Title: s.Title}
		for _, c := range s.Controls {
			set.Controls = append(set.Controls, c.control())
		}
		d.Sets = append(d.Sets, set)
	}
	return d
}

func (e controlEntry) control() compliance.Control {
	c := compliance.Control{
		ID: e.ID, Clause: e.Clause, Says: e.Says, Severity: compliance.Severity(e.Severity), Gate: e.Gate,
		Applies: e.Applies, Pass: e.Pass, Evidence: e.Evidence, Missing: e.Missing,
	}
	for _, s := range e.Stages {
		c.Stages = append(c.Stages, compliance.Stage(s))
	}
	return c
}
