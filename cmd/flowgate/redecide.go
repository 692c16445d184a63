package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/policy"
	"flowgate/pipelines/pricing"
	"flowgate/worker/postgres"
)

// proposal is what would be otherwise; what it leaves out is as it was for each decision.
type proposal struct {
	policy   *policy.Policy
	prices   *pricing.Table
	settings *corporate.Policy
	// request, day and month take the place of the limits of settings; limited tells whether day or month is there.
	request, day, month *int64
}

func (c proposal) any() bool {
	return c.policy != nil || c.prices != nil || c.settings != nil || c.request != nil || c.limited()
}

func (c proposal) limited() bool { return c.day != nil || c.month != nil }

// redecider makes recorded decisions again.
type redecider struct {
	proposal

	kept, bundles, terms map[string][]byte
	// settings and rules are those that were read, by version; nil: they cannot be.
	settings map[string]*corporate.Policy
	rules    map[string]*policy.Policy
	// dearest are the prices that are tried, with one for every model.
	dearest *pricing.Table
	// zone is that of the newest decision.
	zone *time.Location
}

// newRedecider reads by what was decided, at any time.
func newRedecider(ctx context.Context, db *postgres.DB, c proposal) (*redecider, error) {
	r := &redecider{proposal: c, settings: make(map[string]*corporate.Policy), rules: make(map[string]*policy.Policy)}
	var err error
	if r.kept, err = db.Settings(ctx, postgres.KeptSettings); err != nil {
		return nil, err
	}
	if r.bundles, err = db.Settings(ctx, postgres.KeptPolicy); err != nil {
		return nil, err
	}
	r.terms, err = db.Settings(ctx, postgres.KeptAgreement)
	return r, err
}

// agreed tells a recalled decision the agreement that it was made under, from the terms that were kept.
func (r *redecider) agreed(d *corporate.Recalled) corporate.Gap {
	version := d.Terms()
	if version == "" {
		return ""
	}
	body, kept := r.terms[version]
	if !kept || corporate.VersionOf(body) != version {
		return corporate.GapAgreement
	}
	a, err := corporate.ReadTerms(body)
	if err != nil {
		return corporate.GapAgreement
	}
	d.Under(a)
	return ""
}

// under is what a recorded decision is made again by.
func (r *redecider) under(s *messages.CorporateSection) (corporate.Policy, corporate.Gap) {
	p := r.proposal.settings
	if p == nil {
		if p = r.settingsOf(s.PolicyVersion); p == nil {
			return corporate.Policy{}, corporate.GapSettings
		}
	}
	under := *p
	if under.Rules = r.policy; under.Rules == nil && s.BundleVersion != "" {
		if under.Rules = r.rulesOf(s.BundleVersion); under.Rules == nil {
			return under, corporate.GapPolicy
		}
	}
	if under.Rules != nil {
		under.Rules = under.Rules.WithTicket(s.PolicyTicket)
	}
	if r.prices != nil {
		under.Prices = r.tried(under.Prices)
	}
	for _, l := range []struct{ from, to *int64 }{{r.request, &under.Limits.Request}, {r.day, &under.Limits.Day}, {r.month, &under.Limits.Month}} {
		if l.from != nil {
			*l.to = *l.from
		}
	}
	return under, ""
}

// tried are the prices that are tried, which price models without a row where those before them did.
func (r *redecider) tried(before *pricing.Table) *pricing.Table {
	if !before.PricesUnknown() {
		return r.prices
	}
	if r.dearest == nil {
		r.dearest = r.prices.AtDearest()
	}
	return r.dearest
}

func (r *redecider) settingsOf(version string) *corporate.Policy {
	p, known := r.settings[version]
	if body, kept := r.kept[version]; !known && kept && corporate.VersionOf(body) == version {
		if read, err := corporate.ReadSettings(body, time.LoadLocation); err == nil {
			p = &read
		}
	}
	r.settings[version] = p
	return p
}

func (r *redecider) rulesOf(version string) *policy.Policy {
	p, known := r.rules[version]
	if body, kept := r.bundles[version]; !known && kept && corporate.VersionOf(body) == version {
		var bundle policy.Bundle
		if json.Unmarshal(body, &bundle) == nil && bundle.Version() == version { // else a newer version's has more than can be read here
			p, _ = policy.Compile(bundle)
		}
	}
	r.rules[version] = p
	return p
}

// redone is a recorded decision, made again.
type redone struct {
	messages.Key

	Epoch int
	// Gap is why it cannot be; nothing else is set then.
	Gap  corporate.Gap
	Word corporate.Again
	// Differ names what is not the same where nothing is changed.
	Differ []string
	// Was and WasEnd are recorded, Now and NowEnd are what is decided again.
	Was, Now       *messages.CorporateSection
	WasEnd, NowEnd *messages.End
	// Asks tells that no check refuses it, so that the ledger is asked for Amount in Scopes.
	Asks   bool
	Amount int64
	Scopes []corporate.Scope
	Stored time.Time
	// Waits tells that others' reservations would have kept it waiting under the limits that are tried.
	Waits bool
	// Cost is the recorded one, CostNow by the prices that are tried; Unpriced: they do not say.
	Cost, CostNow int64
	Unpriced      bool
}

func (r *redecider) again(d postgres.Decided) redone {
	out := redone{Key: d.Key, Epoch: d.Epoch, Stored: d.StoredAt, Cost: d.CostMicroUSD, CostNow: d.CostMicroUSD, Gap: corporate.GapNothing}
	if d.Envelope == nil {
		return out
	}
	recalled, gap := corporate.Recall(d.Address, d.Envelope)
	if out.Gap = gap; gap != "" {
		return out
	}
	p, gap := r.under(recalled.Section)
	if gap == "" {
		gap = r.agreed(&recalled)
	}
	if out.Gap = gap; gap != "" {
		return out
	}
	if p.Privacy != nil && recalled.Section.PrivacyVersion == "" && recalled.Seen.Kind.AsksModel() {
		out.Gap = corporate.GapText
		return out
	}
	decision, now, end := recalled.Again(p)
	out.Word, out.Was, out.Now, out.WasEnd, out.NowEnd = recalled.Word(&now, end), recalled.Section, &now, recalled.End, end
	out.Asks, out.Amount, out.Scopes = decision.Refusal == nil, decision.Amount, decision.Scopes
	r.zone = cmp.Or(r.zone, p.Location)
	if !r.any() {
		out.Differ = corporate.Differences(out.Was, out.Now, out.WasEnd, out.NowEnd)
	}
	if r.prices != nil {
		cost, ok := p.Prices.Again(d.Envelope.History, recalled.Facts.Now, now.InputBound, int64(now.MaxTokens))
		out.CostNow, out.Unpriced = cost, !ok
	}
	if out.WasEnd != nil && out.NowEnd == nil {
		out.CostNow = out.most()
	}
	return out
}

// most is what one that never ran could have cost: its bound, and nothing behind the model.
func (d *redone) most() int64 {
	if f := d.Now.Facts; f != nil && f.BehindModel {
		return 0
	}
	return d.Now.BoundMicroUSD
}

// proposalFlags say what would be otherwise.
type proposalFlags struct {
	policy, prices, settings string
	request, day, month      string
}

func (f *proposalFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.policy, "policy", "", "decide by the rules of this `file`")
	cmd.Flags().StringVar(&f.prices, "prices", "", "decide by the prices of this `file`")
	cmd.Flags().StringVar(&f.settings, "settings", "", "decide by this settings `file`, with the prices and agreements that it names")
	cmd.Flags().StringVar(&f.request, "limit-request", "", "limit of one request in `dollars` in the place of the settings', or none")
	cmd.Flags().StringVar(&f.day, "limit-day", "", "limit of a day in `dollars` in the place of the settings', or none")
	cmd.Flags().StringVar(&f.month, "limit-month", "", "limit of a month in `dollars` in the place of the settings', or none")
}

func (f *proposalFlags) read() (c proposal, err error) {
	var faults []error
	add := func(wrong error) { faults = append(faults, wrong) }
	if f.policy != "" {
		c.policy, err = configs.LoadPolicy(f.policy)
		add(err)
	}
	if f.settings != "" {
		c.settings, err = governanceOf(f.settings)
		add(err)
	}
	if f.prices != "" {
		c.prices, err = configs.LoadPrices(f.prices)
		add(err)
	}
	for _, l := range []struct {
		flag, text string
		into       **int64
	}{{"limit-request", f.request, &c.request}, {"limit-day", f.day, &c.day}, {"limit-month", f.month, &c.month}} {
		if l.text == "" {
			continue
		}
		amount, wrong := configs.ParseDollars(l.text)
		if wrong != nil {
			add(fmt.Errorf("flag --%s: %w", l.flag, wrong))
			continue
		}
		*l.into = new(amount.MicroUSD())
	}
	if err := errors.Join(faults...); err != nil {
		return c, usageError{err}
	}
	return c, nil
}

// governanceOf is layer 1's policy by a settings file.
func governanceOf(file string) (*corporate.Policy, error) {
	s, _, err := configs.Load(file, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	agreements, err := configs.LoadAgreements(s.Flowgate.AgreementsFile)
	if err != nil {
		return nil, err
	}
	book, err := flow.NewBook(agreements)
	if err != nil {
		return nil, err
	}
	prices, err := configs.PricesOf(s)
	if err != nil {
		return nil, err
	}
	controls, err := loadControls(s, agreements)
	if err != nil {
		return nil, err
	}
	p := governance(s, prices, controls)
	p.Agreements = book // for decisions of an older record
	return &p, nil
}
