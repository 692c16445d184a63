package main

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/pricing"
)

// exactSum is a bill in micro-dollars before it is rounded.
func exactSum(b pricing.Bill) *big.Rat {
	sum := linesSum(b)
	for _, m := range b.Multipliers {
		sum.Mul(sum, big.NewRat(m.Percent, 100))
	}
	return sum
}

func linesSum(b pricing.Bill) *big.Rat {
	sum := new(big.Rat)
	for _, l := range b.Lines {
		sum.Add(sum, lineSum(l))
	}
	return sum
}

func lineSum(l pricing.BillLine) *big.Rat {
	return new(big.Rat).Mul(big.NewRat(l.Tokens, 1), big.NewRat(l.Price, 1_000_000))
}

// write prints how a cost came about.
func (e *costExplanation) write(w io.Writer) error {
	var err error
	say := func(format string, a ...any) {
		_, wrong := fmt.Fprintf(w, format+"\n", a...)
		err = errors.Join(err, wrong)
	}
	say("%s, epoch %d: %s, cost %s", e.ID, e.Epoch, e.Status, dollars(e.CostMicroUSD))
	switch {
	case e.Reused != nil && e.Reused.From == messages.ReusedRequest:
		say("  the answer is that of an identical request, %s, which paid for it", printable(e.Reused.Leader))
	case e.CacheHit:
		say("  the answer came from the cache")
	case len(e.Calls) == 0:
		say("  no model was asked")
	}
	for i := range e.Calls {
		c := &e.Calls[i]
		say("")
		say("call %d: %s, %s, %s%s: %s", c.K, printable(c.Backend), printable(c.Model), c.Billing, prefixed(", ", printable(c.Class)), c.Why)
		c.say(say)
		if c.Bill == nil {
			continue
		}
		var rows [][]string
		for _, l := range c.Bill.Lines {
			rows = append(rows, []string{l.Class, strconv.FormatInt(l.Tokens, 10), perMillion(l.Price), decimal(lineSum(l))})
		}
		err = errors.Join(err, table(w, "CLASS TOKENS PER_MILLION MICRO_DOLLARS", rows))
		say("%s, rounded up %d", c.sums(), c.Computed)
	}
	say("")
	if e.Agrees {
		say("together %s, as the record says", dollars(e.ComputedMicroUSD))
		return err
	}
	say("together %s, but the record says %s: `flowgate audit check` looks at all of it", dollars(e.ComputedMicroUSD), dollars(e.CostMicroUSD))
	return err
}

// sums is the sum of a bill, and what it was multiplied by.
func (c *costCall) sums() string {
	parts := []string{"sum " + decimal(linesSum(*c.Bill))}
	for _, m := range c.Bill.Multipliers {
		parts = append(parts, "x"+decimal(big.NewRat(m.Percent, 100))+" "+m.Name)
	}
	text := strings.Join(parts, ", ")
	if len(c.Bill.Multipliers) > 0 {
		text += " = " + c.Exact
	}
	return text
}

// say prints by what a call was charged.
func (c *costCall) say(say func(string, ...any)) {
	if c.Price != nil {
		from := "always"
		if !c.Price.EffectiveFrom.IsZero() {
			from = c.Price.EffectiveFrom.UTC().Format(time.DateOnly)
		}
		text := "prices " + printable(c.Price.Version) + ", from " + from
		if pricing.Dearest(c.Price.Version) {
			text += ", the dearest of the table: the model has none of its own"
		}
		if c.Bill != nil && c.Bill.Above > 0 {
			text += fmt.Sprintf(", those of inputs above %d tokens", c.Bill.Above)
		}
		say("  %s", text)
	}
	if u := c.Usage; u != nil && (u.ServiceTier != "" || u.InferenceGeo != "" || u.Batch) {
		batch := ""
		if u.Batch {
			batch = "batch"
		}
		say("  billed as %s", joined(prefixed("service tier ", printable(u.ServiceTier)), batch, prefixed("computed in ", printable(u.InferenceGeo))))
	}
	if c.Billing == messages.BillingInDoubt {
		say("  bound %s", dollars(c.Bound))
	}
	if c.Charged != c.Cost {
		say("  stated %s, charged %s since its true cost became known", dollars(c.Cost), dollars(c.Charged))
	}
	if !c.Agrees {
		say("  NOT as recorded: the record says %s", dollars(c.Cost))
	}
}

// joined are the texts that are not empty.
func joined(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(t string) bool { return t == "" }), ", ")
}
