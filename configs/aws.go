package configs

import (
	"maps"
	"slices"
	"strings"
)

// AWS is the user's section of that name. Its model names hold for every backend.
type AWS struct {
	Region   string  `yaml:"region" later:"Bedrock and S3 are not called yet"`
	KMSKeyID string  `yaml:"kms_key_id" later:"objects in S3 are not written yet"`
	Bedrock  Bedrock `yaml:"bedrock"`
}

// Bedrock has the names of models.
type Bedrock struct {
	Region string `yaml:"region" later:"Bedrock and S3 are not called yet"`
	// DefaultModel is the model of requests that name none: an exact id or an alias.
	DefaultModel string `yaml:"default_model"`
	// Credentials are for calls to Bedrock.
	Credentials AWSCredentials `yaml:"credentials" later:"Bedrock is not called yet"`
	// Models has parameters by family and exact id.
	Models map[string]map[string]ModelParameters `yaml:"models" later:"a request that leaves them out has max_tokens 2000 and temperature 0.7"`
	// ModelMapping maps aliases to exact ids. A file's mapping replaces the default one.
	ModelMapping map[string]string `yaml:"model_mapping"`
}

// AWSCredentials name a profile or hold keys.
type AWSCredentials struct {
	Profile         string `yaml:"profile"`
	AccessKeyID     Secret `yaml:"access_key_id"`
	SecretAccessKey Secret `yaml:"secret_access_key"`
	SessionToken    Secret `yaml:"session_token"`
}

// ModelParameters are the parameters of one model.
type ModelParameters struct {
	MaxTokens     int      `yaml:"max_tokens"`
	Temperature   *float64 `yaml:"temperature"`
	TopP          *float64 `yaml:"top_p"`
	TopK          *int     `yaml:"top_k"`
	StopSequences []string `yaml:"stop_sequences"`
}

func defaultAWS() AWS {
	return AWS{Bedrock: Bedrock{
		DefaultModel: "anthropic.claude-3-sonnet-20240229-v1:0",
		ModelMapping: map[string]string{
			"claude-3-sonnet": "anthropic.claude-3-sonnet-20240229-v1:0",
			"claude-3-haiku":  "anthropic.claude-3-haiku-20240307-v1:0",
			"claude-3-opus":   "anthropic.claude-3-opus-20240229-v1:0",
		},
	}}
}

// Model is the exact id that a name stands for: what an alias maps to, else the name itself; for no name that of the
// default model.
func (b Bedrock) Model(name string) string {
	if name == "" {
		name = b.DefaultModel
	}
	if id, ok := b.ModelMapping[name]; ok {
		return id
	}
	return name
}

func (a AWS) validate(out *faults) {
	const key = "aws.bedrock."
	if strings.TrimSpace(a.Bedrock.DefaultModel) == "" {
		out.add(key+"default_model", "must name a model")
	}
	for _, alias := range slices.Sorted(maps.Keys(a.Bedrock.ModelMapping)) {
		id := a.Bedrock.ModelMapping[alias]
		at := key + "model_mapping." + clip(alias)
		if _, again := a.Bedrock.ModelMapping[id]; again && id != alias {
			out.add(at, "maps to another alias; name an exact id")
		}
		if strings.TrimSpace(alias) == "" || strings.TrimSpace(id) == "" {
			out.add(at, "must map an alias to an exact id")
		}
	}
}
