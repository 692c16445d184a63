package configs

import (
	"fmt"
	"io"
)

// Secret is a text that is never printed: not by fmt with any verb, not as JSON, YAML or text. Only Reveal gives it.
type Secret struct{ value string }

// masked stands for every secret that is set.
const masked = "***"

// NewSecret makes a secret of a text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal is the text itself. It MUST NOT be logged, put into an error or shown.
func (s Secret) Reveal() string { return s.value }

// IsSet tells whether there is a text.
func (s Secret) IsSet() bool { return s.value != "" }

// String is *** for every secret that is set, and empty otherwise.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return masked
}

// Format is what fmt prints for every verb.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.String()) // fmt keeps the error of its writer itself
}

// GoString is what %#v prints where Format is not asked.
func (s Secret) GoString() string { return s.String() }

// MarshalText is what encoders of maps and texts write.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON is what JSON encoders write.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalYAML is what YAML encoders write.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

func (s *Secret) fromText(text string) error {
	s.value = text
	return nil
}
