package ai_test

import (
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/pricing"
)

func TestModelsOfBedrockTellWhereTheyAreProcessed(t *testing.T) {
	for model, want := range map[string]string{
		"anthropic.claude-3-haiku-20240307-v1:0":                                              "eu-west-1",
		"us.anthropic.claude-haiku-4-5-20251001-v1:0":                                         "us",
		"global.amazon.nova-2-lite-v1:0":                                                      "global",
		"us-gov.meta.llama3-3-70b-instruct-v1:0":                                              "us-gov",
		"mx.anthropic.claude-haiku-4-5-20251001-v1:0":                                         "mx",
		"arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-v2":                     "us-west-2",
		"arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0": "eu",
		"arn:aws:bedrock:eu-central-1:123456789012:inference-profile/hidden":                  "",
		"arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/a1b2c3":         "",
		"arn:aws:bedrock:us-west-2:123456789012:default-prompt-router/anthropic.claude:1":     "",
		"arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:provisioned-model/a1b2c3":          "us-gov-west-1",
		"arn:broken": "",
		"test-model": "eu-west-1",
	} {
		if got := (ai.Menu{Profiles: true}).RegionOf(model, "eu-west-1"); got != want {
			t.Errorf("%s: %q, want %q", model, got, want)
		}
		if got := (ai.Menu{}).RegionOf(model, "eu-west-1"); got != "eu-west-1" {
			t.Errorf("%s at a backend without profiles: %q", model, got)
		}
	}
}

// TestAnInferenceProfileIsAskedOnlyWhereItsGeographyIsAllowed asks a backend in eu-west-1, whose profiles lead out of it.
func TestAnInferenceProfileIsAskedOnlyWhereItsGeographyIsAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		there   string
		regions []string
		want    string // where it is processed; empty: nobody may be asked
	}{
		"the region itself":             {"anthropic.m", []string{"eu-west-1"}, "eu-west-1"},
		"everywhere, though one region": {"global.anthropic.m", []string{"eu-west-1"}, ""},
		"a geography that is named":     {"eu.anthropic.m", []string{"eu-west-1", "eu"}, "eu"},
		"another geography":             {"us.anthropic.m", []string{"eu-west-1", "eu"}, ""},
		"an ARN that does not tell":     {"arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/x", []string{"eu-west-1"}, ""},
		"no rule":                       {"global.anthropic.m", nil, "global"},
	} {
		t.Run(name, func(t *testing.T) {
			e, r, f, p := regional(t, c.there)
			e.Corporate.AllowedRegions = c.regions
			plan := ai.Decide(e, r, f, p)
			switch {
			case c.want == "" && (plan.Refusal == nil || plan.Refusal.Reason != messages.ReasonRegionNotAllowed):
				t.Errorf("%+v", plan)
			case c.want != "" && (plan.Refusal != nil || plan.Backend.Region != c.want):
				t.Errorf("%+v, want %s", plan, c.want)
			}
		})
	}
}

// regional is a request for a model that only a backend of Bedrock's in eu-west-1 serves, by another name.
func regional(t *testing.T, there string) (*messages.Envelope, *messages.Request, ai.Facts, ai.Policy) {
	t.Helper()
	e, r, f, p := setup(t)
	var err error
	if p.Prices, err = pricing.NewTable([]pricing.Row{{Model: there, Free: true}}); err != nil {
		t.Fatal(err)
	}
	f.Backends = []ai.BackendFact{{Name: "bedrock", Region: "eu-west-1", Menu: ai.Menu{Profiles: true, Names: map[string]string{model: there}}}}
	return e, r, f, p
}
