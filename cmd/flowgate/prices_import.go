package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/pipelines/pricing"
)

// mostShown bounds the changed models that are printed for people.
const mostShown = 40

// priceImport is what became of an import.
type priceImport struct {
	File string `json:"file"`
	// Out is the file that was written; empty: none was.
	Out  string `json:"out,omitempty"`
	From string `json:"from"`
	// Entries is how many the file has, Same how many of those have the price that the built-in table says.
	Entries int                       `json:"entries"`
	Same    int                       `json:"same"`
	Changed []configs.PriceChange     `json:"changed"`
	Added   []pricing.Row             `json:"added"`
	LeftOut []configs.LeftOut         `json:"left_out"`
	Reasons map[configs.ImportWhy]int `json:"left_out_by_reason"`
	Rounded []string                  `json:"rounded"`
}

func newPricesImport(g *globals) *cobra.Command {
	var out, from string
	var dry bool
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Make a price file of LiteLLM's", Args: cobra.ExactArgs(1),
		Long: "Reads a file of the form of LiteLLM's model_prices_and_context_window.json and writes a price file for flowgate.prices_file: the models of\n" +
			"Anthropic, OpenAI and Bedrock whose price is not the built-in table's, from a day on. It tells what changes, what is new, and what it left\n" +
			"out and why: mode (no model of text or embeddings), provider, name (no exact model id), price (none a token), charges (more is charged than\n" +
			"tokens), form. Look at the changes before you use the file: nobody but you vouches for it.",
		Example: "  flowgate prices import model_prices_and_context_window.json --dry-run\n" +
			"  flowgate prices import model_prices_and_context_window.json --out prices.json --from 2026-12-01",
		RunE: func(cmd *cobra.Command, args []string) error {
			day := time.Now().UTC().Truncate(24 * time.Hour)
			if from != "" {
				var err error
				if day, err = time.Parse(time.DateOnly, from); err != nil {
					return usageError{fmt.Errorf("flag --from is %.40q, must be a day such as 2026-12-01", from)}
				}
			}
			if out == "" && !dry {
				return usageError{errors.New("flag --out is empty, must name the file to write; --dry-run writes none")}
			}
			report, rows, err := importPrices(args[0], day)
			if err != nil {
				return usageError{err}
			}
			if !dry && len(rows) > 0 {
				if err := writePrices(out, args[0], rows); err != nil {
					return err
				}
				report.Out = out
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), report)
			}
			return report.write(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&out, "out", "prices.json", "the `file` to write; it must not be there yet")
	cmd.Flags().StringVar(&from, "from", "", "the `day` from which the prices hold (default: today)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "write nothing")
	return cmd
}

func importPrices(file string, from time.Time) (*priceImport, []pricing.Row, error) {
	data, err := configs.ReadPriceFile(file)
	if err != nil {
		return nil, nil, err
	}
	read, err := configs.ReadLiteLLM(file, data, from)
	if err != nil {
		return nil, nil, err
	}
	if fault := foreign(file, data, read); fault != nil {
		return nil, nil, fault
	}
	shipped, err := configs.LoadPrices("")
	if err != nil {
		return nil, nil, err
	}
	d, err := read.Against(shipped, from)
	if err != nil {
		return nil, nil, err
	}
	r := &priceImport{
		File: file, From: from.Format(time.DateOnly), Entries: read.Entries, Same: d.Same, Changed: d.Changed, Added: d.Added,
		LeftOut: append([]configs.LeftOut{}, read.LeftOut...), Reasons: map[configs.ImportWhy]int{}, Rounded: append([]string{}, read.Rounded...),
	}
	for _, l := range r.LeftOut {
		r.Reasons[l.Why]++
	}
	return r, d.Rows(), nil
}

// foreign refuses a file that has nothing in LiteLLM's form: whoever imports it has taken another for it.
func foreign(file string, data []byte, read configs.PriceImport) error {
	var ours struct {
		Unit *string         `json:"unit"`
		Rows json.RawMessage `json:"rows"`
	}
	if json.Unmarshal(data, &ours) == nil && ours.Unit != nil && len(ours.Rows) > 0 {
		return fmt.Errorf("%s: is a price file of flowgate already, not LiteLLM's; name it as flowgate.prices_file", file)
	}
	formless := func(l configs.LeftOut) bool { return l.Why == configs.ImportForm }
	if len(read.Rows) == 0 && !slices.ContainsFunc(read.LeftOut, func(l configs.LeftOut) bool { return !formless(l) }) {
		return fmt.Errorf("%s: has no model in the form of LiteLLM's price file, such as \"gpt-4o\": {\"mode\": \"chat\", \"input_cost_per_token\": 2.5e-06, …}", file)
	}
	return nil
}

// writePrices writes a price file that is not there yet.
func writePrices(out, file string, rows []pricing.Row) error {
	data, err := configs.EncodePrices("Imported from "+filepath.Base(file)+", in the form of LiteLLM's price file.", rows)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // the operator names the file; prices are no secret
	switch {
	case errors.Is(err, os.ErrExist):
		return usageError{fmt.Errorf("%s is there already; name another file with --out, or take it away", out)}
	case err != nil:
		return environmentError{fmt.Errorf("writing %s: %w", out, err)}
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return environmentError{errors.Join(fmt.Errorf("writing %s: %w", out, err), os.Remove(out))}
	}
	return nil
}

// write prints an import for people.
func (r *priceImport) write(w io.Writer) error {
	var err error
	say := func(format string, a ...any) {
		_, wrong := fmt.Fprintf(w, format+"\n", a...)
		err = errors.Join(err, wrong)
	}
	say("%d entries: %d cost what the built-in table says, %d cost something else, %d are new, %d left out", r.Entries, r.Same, len(r.Changed), len(r.Added), len(r.LeftOut))
	var whys [][]string
	for why, n := range r.Reasons {
		whys = append(whys, []string{string(why), strconv.Itoa(n)})
	}
	if slices.SortFunc(whys, slices.Compare); len(whys) > 0 {
		say("")
		err = errors.Join(err, table(w, "LEFT_OUT MODELS", whys))
	}
	if len(r.Rounded) > 0 {
		say("\nrounded up to whole micro-dollars per million tokens: %d", len(r.Rounded))
	}
	var changes [][]string
	for _, c := range r.Changed[:min(len(r.Changed), mostShown)] {
		was, now := priceLines(listedOf(c.Old)), priceLines(listedOf(c.New))
		for i, lines := range [][][]string{was, now} {
			for _, line := range lines {
				changes = append(changes, append([]string{[]string{"old", "new"}[i]}, line[:9]...))
			}
		}
	}
	if len(changes) > 0 {
		say("")
		err = errors.Join(err, table(w, "PRICE MODEL FROM ABOVE INPUT OUTPUT CACHE_READ WRITE_5M WRITE_1H MULTIPLIERS", changes))
	}
	if more := len(r.Changed) - mostShown; more > 0 {
		say("and %d more; --json has them all", more)
	}
	if len(r.Changed)+len(r.Added) == 0 {
		say("\nnothing to write: no price is another than the built-in table's")
	}
	if r.Out != "" {
		say("\nwritten to %s, from %s on: name it as flowgate.prices_file", r.Out, r.From)
	}
	return err
}
