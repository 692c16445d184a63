package main

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/pipelines/pricing"
)

func newPrices(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "prices", Short: "Show what models cost, how a request's cost came about, and import prices",
		Long: "Prices are in micro-dollars (a millionth of a dollar) per million tokens, by exact model id and from a day on. The built-in table is\n" +
			"overlaid by the file of the setting flowgate.prices_file. What becomes of models without a price says cost_optimization.unknown_models.",
		Example: "  flowgate prices list --model claude-sonnet-5-5\n  flowgate prices explain invoice-4711\n  flowgate prices import model_prices_and_context_window.json --dry-run",
	}
	cmd.AddCommand(newPricesList(g), newPricesExplain(g), newPricesImport(g))
	return cmd
}

// listedPrice is a row of the table as it is shown.
type listedPrice struct {
	pricing.Row

	RetiredOn string `json:"retired_on,omitempty"`
	RetiredBy string `json:"retired_by,omitempty"`
	Successor string `json:"successor,omitempty"`
	Source    string `json:"source,omitempty"`
	Note      string `json:"note,omitempty"`
}

func newPricesList(g *globals) *cobra.Command {
	var model, at string
	cmd := &cobra.Command{
		Use: "list", Short: "List the prices that hold today, or on another day", Args: cobra.NoArgs,
		Long: "Lists the price of each model, in dollars per million tokens of each class; what costs more for long inputs has a line of its own. With\n" +
			"--model of that model alone, by its id or an alias of the settings. Exit code 1: a model that was asked for has no price.",
		Example: "  flowgate prices list\n  flowgate prices list --model claude-sonnet-5-5 --at 2026-10-01 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			day := time.Now()
			if at != "" {
				var err error
				if day, err = time.Parse(time.DateOnly, at); err != nil {
					return usageError{fmt.Errorf("flag --at is %.40q, must be a day such as 2026-10-01", at)}
				}
			}
			rows, err := g.pricesOn(model, day)
			if err != nil {
				return err
			}
			known := model == "" || len(rows) > 0
			if g.json {
				return verdict(printJSON(cmd.OutOrStdout(), rows), known)
			}
			if !known {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s has no price on %s\n", printable(model), day.UTC().Format(time.DateOnly))
				return verdict(err, false)
			}
			var lines [][]string
			for _, r := range rows {
				lines = append(lines, priceLines(r)...)
			}
			return table(cmd.OutOrStdout(), "MODEL FROM ABOVE INPUT OUTPUT CACHE_READ WRITE_5M WRITE_1H MULTIPLIERS VERSION", lines)
		},
	}
	cmd.Flags().StringVar(&model, "model", "", "only this `model`")
	cmd.Flags().StringVar(&at, "at", "", "the prices of this `day` (default: today)")
	return cmd
}

// pricesOn are the rows that hold at a moment, of one model where it is named.
func (g *globals) pricesOn(model string, at time.Time) ([]listedPrice, error) {
	settings, err := g.load()
	if err != nil {
		return nil, err
	}
	prices, err := configs.PricesOf(settings)
	if err != nil {
		return nil, usageError{err}
	}
	models := prices.Models()
	if model != "" {
		if exact, is := settings.AWS.Bedrock.ModelMapping[model]; is {
			model = exact
		}
		models = []string{model}
	}
	rows := []listedPrice{}
	for _, m := range models {
		if r, found := prices.Row(m, at); found {
			rows = append(rows, listedOf(r))
		}
	}
	return rows, nil
}

func listedOf(r pricing.Row) listedPrice {
	l := listedPrice{Row: r, RetiredBy: r.RetiredBy, Successor: r.Successor, Source: r.Source, Note: r.Note}
	if !r.RetiredOn.IsZero() {
		l.RetiredOn = r.RetiredOn.UTC().Format(time.DateOnly)
	}
	return l
}

// priceLines are the lines of a row: one for short inputs, and one a tier.
func priceLines(r listedPrice) [][]string {
	line := func(above string, t pricing.Tier) []string {
		output := perMillion(t.Output)
		if r.NoOutput {
			output = "-"
		}
		return []string{above, perMillion(t.Input), output, perMillion(t.CacheRead), perMillion(t.CacheWrite5m), perMillion(t.CacheWrite1h)}
	}
	from := "always"
	if !r.EffectiveFrom.IsZero() {
		from = r.EffectiveFrom.UTC().Format(time.DateOnly)
	}
	short := line("-", pricing.Tier{Input: r.Input, Output: r.Output, CacheRead: r.CacheRead, CacheWrite5m: r.CacheWrite5m, CacheWrite1h: r.CacheWrite1h})
	lines := [][]string{slices.Concat([]string{r.Model, from}, short, []string{multipliersText(r.Multipliers), r.Version})}
	for _, t := range r.Tiers {
		lines = append(lines, slices.Concat([]string{"", ""}, line(fmt.Sprint(t.Above), t), []string{"", ""}))
	}
	return lines
}

// perMillion is a price in dollars per million tokens, exactly.
func perMillion(price int64) string {
	return "$" + decimal(big.NewRat(price, 1_000_000))
}

// decimal is an exact number without needless zeros.
func decimal(r *big.Rat) string {
	digits, exact := r.FloatPrec()
	if !exact {
		digits = 18 // prices and percentages are decimals: this is never so
	}
	return r.FloatString(digits)
}

func multipliersText(m pricing.Multipliers) string {
	var parts []string
	for _, p := range []struct {
		name    string
		percent int64
	}{{"batch", m.Batch}, {"flex", m.Flex}, {"priority", m.Priority}, {"us", m.InferenceGeoUS}} {
		if p.percent > 0 {
			parts = append(parts, p.name+" x"+decimal(big.NewRat(p.percent, 100)))
		}
	}
	return orDash(strings.Join(parts, ", "))
}
