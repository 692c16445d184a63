package configs

// variable is an environment variable that wins over a key of the file.
type variable struct {
	name, key string
	set       func(*Settings, string)
}

// variables is the table of them. An empty variable counts as not set.
func variables() []variable {
	return []variable{
		{"FLOWGATE_STATE", "flowgate.state_dir", func(s *Settings, v string) { s.Flowgate.StateDir = v }},
		{"NATS_URL", "flowgate.nats_url", func(s *Settings, v string) { s.Flowgate.NATSURL = NewSecret(v) }},
		{"DATABASE_URL", "flowgate.database_url", func(s *Settings, v string) { s.Flowgate.DatabaseURL = NewSecret(v) }},
		{"OPENAI_BASE_URL", "flowgate.backends.openai.base_url", func(s *Settings, v string) { s.Flowgate.Backends.OpenAI.BaseURL = v }},
		{"OPENAI_API_KEY", "flowgate.backends.openai.api_key", func(s *Settings, v string) { s.Flowgate.Backends.OpenAI.APIKey = NewSecret(v) }},
	}
}

// applyEnvironment lets the environment win. It tells which variable each key comes from that it has set.
func (s *Settings) applyEnvironment(env Lookup) map[string]string {
	origin := map[string]string{}
	for _, v := range variables() {
		if value, ok := env(v.name); ok && value != "" {
			v.set(s, value)
			origin[v.key] = v.name
		}
	}
	return origin
}
