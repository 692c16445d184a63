package configs

import (
	"maps"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"flowgate/messages"
)

// AWS is the user's section of that name. Its model names hold for every backend.
type AWS struct {
	// Region is where services are that have no region of their own here. AWS_REGION wins over it.
	Region   string  `yaml:"region"`
	KMSKeyID string  `yaml:"kms_key_id" later:"objects in S3 are not written yet"`
	Bedrock  Bedrock `yaml:"bedrock"`
}

// Bedrock has the names of models.
type Bedrock struct {
	// Region is Bedrock's; empty is that of AWS in general.
	Region string `yaml:"region"`
	// Endpoint is a server with Bedrock's protocol; empty is AWS. AWS_ENDPOINT_URL_BEDROCK_RUNTIME wins over it.
	Endpoint string `yaml:"endpoint"`
	// DefaultModel is the model of requests that name none: an exact id or an alias.
	DefaultModel string `yaml:"default_model"`
	// Credentials are for calls to AWS, where neither a role nor the environment gives any.
	Credentials AWSCredentials `yaml:"credentials"`
	// Models has what holds for requests that leave it out, by family and exact id.
	Models map[string]map[string]ModelParameters `yaml:"models"`
	// ModelMapping maps aliases to exact ids. A file's mapping replaces the default one.
	ModelMapping map[string]string `yaml:"model_mapping"`
}

// AWSCredentials name a profile or hold keys.
type AWSCredentials struct {
	// Profile is one of the shared files of AWS. AWS_PROFILE wins over it, and it over the keys.
	Profile         string `yaml:"profile"`
	AccessKeyID     Secret `yaml:"access_key_id"`
	SecretAccessKey Secret `yaml:"secret_access_key"`
	SessionToken    Secret `yaml:"session_token"`
}

// ModelParameters are what a request of one model has where it says nothing itself.
type ModelParameters struct {
	// MaxTokens is 1 to 1000000, Temperature 0 to 2.
	MaxTokens   *int     `yaml:"max_tokens"`
	Temperature *float64 `yaml:"temperature"`
	// TopP is above 0 and at most 1, TopK 1 to 1000000. A backend that has no such parameter does not ask the model.
	TopP *float64 `yaml:"top_p"`
	TopK *int     `yaml:"top_k"`
	// StopSequences are the texts at which an answer ends.
	StopSequences []string `yaml:"stop_sequences"`
}

func defaultAWS() AWS {
	return AWS{Bedrock: Bedrock{
		Models:       map[string]map[string]ModelParameters{},
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
	out.region("aws.region", a.Region)
	out.region(key+"region", a.Bedrock.Region)
	out.endpoint(key+"endpoint", a.Bedrock.Endpoint)
	a.Bedrock.Credentials.validate(out)
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
	a.Bedrock.validateModels(out)
}

func (b Bedrock) validateModels(out *faults) {
	for _, family := range slices.Sorted(maps.Keys(b.Models)) {
		for _, id := range slices.Sorted(maps.Keys(b.Models[family])) {
			p, key := b.Models[family][id], "aws.bedrock.models."+clip(family)+"."+clip(id)+"."
			if p.MaxTokens != nil {
				out.between(key+"max_tokens", *p.MaxTokens, 1, messages.MaxOutputTokens)
			}
			if t := p.Temperature; t != nil && (math.IsNaN(*t) || *t < 0 || *t > 2) {
				out.add(key+"temperature", "must be from 0 to 2")
			}
			p.validateSampling(key, out)
		}
	}
}

func (p ModelParameters) validateSampling(key string, out *faults) {
	if v := p.TopP; v != nil && (math.IsNaN(*v) || *v <= 0 || *v > 1) {
		out.add(key+"top_p", "must be above 0 and at most 1")
	}
	if p.TopK != nil {
		out.between(key+"top_k", *p.TopK, 1, 1_000_000)
	}
	if len(p.StopSequences) > messages.MaxStops {
		out.add(key+"stop_sequences", "must be at most %d", messages.MaxStops)
	}
	for _, text := range p.StopSequences {
		if text == "" || len(text) > messages.MaxStopBytes {
			out.add(key+"stop_sequences", "each must be from 1 to %d bytes", messages.MaxStopBytes)
		}
	}
}

// Parameters are the parameters of each exact model id that has some.
func (b Bedrock) Parameters() map[string]ModelParameters {
	all := map[string]ModelParameters{}
	for _, family := range slices.Sorted(maps.Keys(b.Models)) {
		maps.Copy(all, b.Models[family])
	}
	return all
}

func (c AWSCredentials) validate(out *faults) {
	const key = "aws.bedrock.credentials."
	switch {
	case c.AccessKeyID.IsSet() && !c.SecretAccessKey.IsSet():
		out.add(key+"secret_access_key", "is missing beside access_key_id")
	case c.SecretAccessKey.IsSet() && !c.AccessKeyID.IsSet():
		out.add(key+"access_key_id", "is missing beside secret_access_key")
	case c.SessionToken.IsSet() && !c.AccessKeyID.IsSet():
		out.add(key+"session_token", "stands without access_key_id and secret_access_key")
	}
}

var regionForm = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

func (f *faults) region(key, region string) {
	if region != "" && !regionForm.MatchString(region) {
		f.add(key, "must be the name of a region, such as us-east-1")
	}
}

func (f *faults) endpoint(key, endpoint string) {
	u, err := url.Parse(endpoint)
	if endpoint != "" && (err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https") {
		f.add(key, "must be an http or https URL without credentials")
	}
}
