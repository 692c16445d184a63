package configs

// Validation is the user's section of that name: what an answer must be like.
type Validation struct {
	Default ValidationRule            `yaml:"default"`
	Tasks   map[string]ValidationRule `yaml:"tasks"`
}

// ValidationRule is for one task; lengths are in characters.
type ValidationRule struct {
	MinLength         *int     `yaml:"min_length"`
	MaxLength         *int     `yaml:"max_length"`
	RequiredKeywords  []string `yaml:"required_keywords"`
	ForbiddenKeywords []string `yaml:"forbidden_keywords"`
	StrictMode        bool     `yaml:"strict_mode"`
}
