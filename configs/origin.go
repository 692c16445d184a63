package configs

import "fmt"

// Source is where a setting comes from.
type Source string

// The sources, weakest first: each wins over those before it.
const (
	FromDefault     Source = "default"
	FromFile        Source = "file"
	FromEnvironment Source = "environments" // the file's subtree of that name
	FromVariable    Source = "variable"
)

// Origin tells which source a setting has its value from.
type Origin struct {
	Source Source `json:"source"`
	// File and Line are the place in the settings file.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Environment is the name under environments.
	Environment string `json:"environment,omitempty"`
	// Variable is the environment variable.
	Variable string `json:"variable,omitempty"`
	// SecretFile is the file that holds the secret itself.
	SecretFile string `json:"secret_file,omitempty"`
}

// String is the origin in words, such as settings.yaml:12.
func (o Origin) String() string {
	var text string
	switch o.Source {
	case FromVariable:
		text = "environment variable " + o.Variable
	case FromEnvironment:
		text = fmt.Sprintf("%s:%d (environments.%s)", o.File, o.Line, o.Environment)
	case FromFile:
		text = fmt.Sprintf("%s:%d", o.File, o.Line)
	case FromDefault:
		return "default"
	}
	if o.SecretFile != "" {
		text += ", secret file " + o.SecretFile
	}
	return text
}

// origins has the origin of every key that is not the default's.
type origins map[string]Origin

// of is the origin of a key; what has parts has none of its own.
func (o origins) of(key string) Origin {
	if origin, ok := o[key]; ok {
		return origin
	}
	return Origin{Source: FromDefault}
}

// inherit gives a key that has its value from another one the origin of that.
func (o origins) inherit(key, from string) {
	if origin, ok := o[from]; ok {
		o[key] = origin
	}
}
