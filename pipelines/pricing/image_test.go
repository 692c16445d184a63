package pricing

import (
	"testing"
	"time"
)

func TestImagesOfUnknownModelsCountAsTheDearest(t *testing.T) {
	for model, want := range map[string]int64{
		"claude-haiku-4-5": imageMost, "gpt-4o": imageMost, "o3-mini": imageMost, "anthropic.claude-3-haiku-20240307-v1:0": imageMost,
		"us.anthropic.claude-haiku-4-5-20251001-v1:0": imageMost, "eu.amazon.nova-pro-v1:0": imageMost,
		"arn:aws:bedrock:eu-central-1:1:inference-profile/eu.amazon.nova-pro-v1:0": imageMost,
		"gpt-4o-mini": imageDearest, "gpt-4o-mini-2024-07-18": imageDearest, "cheap-vision": imageDearest, "my-gpt-4": imageDearest, "team.claude-4": imageDearest,
		"arn:aws:bedrock:us-west-2:1:application-inference-profile/a1b2c3": imageDearest, "": imageDearest,
	} {
		if got := (Row{Model: model}).Image(); got != want {
			t.Errorf("%s: %d, want %d", model, got, want)
		}
	}
	if got := (Row{Model: "cheap-vision", ImageTokens: 1600}).Image(); got != 1600 {
		t.Errorf("a row that says it: %d", got)
	}
}

func TestTokensOfImagesAreAPartOfTheRow(t *testing.T) {
	at := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	plain := Row{Model: "cheap-vision", Input: 1, Output: 1, Multipliers: Multipliers{Priority: 200}}
	said := plain
	said.ImageTokens = 90_000
	table, err := NewTable([]Row{said})
	if err != nil {
		t.Fatal(err)
	}
	row, _ := table.Row("cheap-vision", at)
	if row.Version == plain.version() || row.Image() != 90_000 {
		t.Errorf("%+v", row)
	}
	bare := plain
	bare.Multipliers = Multipliers{}
	for _, was := range []Row{plain, bare} {
		if r, found := table.ByVersion("cheap-vision", was.filled().version()); !found || r.ImageTokens != 0 || r.Multipliers != was.Multipliers {
			t.Errorf("a record of before finds %+v, %v", r, found)
		}
	}
	if r, _ := table.AtDearest().Row("nobody", at); r.Image() != 90_000 {
		t.Errorf("a model without a row: %d", r.Image())
	}
	for _, wrong := range []int64{-1, MaxImageTokens + 1} {
		if said.ImageTokens = wrong; said.check() == nil {
			t.Errorf("%d is taken", wrong)
		}
	}
}
