package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/compliance"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/optimizer"
	"flowgate/pipelines/policy"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
	"flowgate/worker"
	"flowgate/worker/breaker"
	"flowgate/worker/control"
	"flowgate/worker/handlers"
	"flowgate/worker/postgres"
)

// loadRules reads agreements and prices: those that ship with the product, or the operator's.
func (n *node) loadRules(context.Context) error {
	agreements, err := configs.LoadAgreements(n.settings.Flowgate.AgreementsFile)
	if err != nil {
		return usageError{err}
	}
	n.seeds = agreements
	if n.catalog, n.templates, err = catalogOf(n.settings); err != nil {
		return usageError{err}
	}
	if n.prices, err = configs.PricesOf(n.settings); err != nil {
		return usageError{err}
	}
	if n.controls, err = loadControls(n.settings, agreements); err != nil {
		return usageError{err}
	}
	return nil
}

// layers makes the layers of this process out of settings, in the order of their needs. One whose making fails keeps those
// that need it from being made, and the process from starting: the error names them all.
func (n *node) layers(ctx context.Context) (map[messages.LayerName]worker.Layer, error) {
	ordered, err := pipelines.Order(pipelines.Chain())
	if err != nil {
		return nil, err
	}
	ways := map[messages.LayerName]func(context.Context) (worker.Layer, error){
		messages.LayerCorporate: n.corporate, messages.LayerAI: n.ai, messages.LayerOptimizer: n.optimizer,
	}
	made := make(map[messages.LayerName]worker.Layer)
	standings := pipelines.Bring(ordered, func(l pipelines.Layer) error {
		if !n.roles.layer(l.Name) { // another process has it
			return nil
		}
		var err error
		made[l.Name], err = ways[l.Name](ctx)
		return err
	})
	return made, n.notStarted(standings)
}

// notStarted is the first failed start, and whom it blocks.
func (n *node) notStarted(standings []pipelines.Standing) error {
	var err error
	for _, s := range standings {
		switch {
		case s.Started() || !n.roles.layer(s.Service):
		case err == nil:
			err = fmt.Errorf("%s did not start: %w", s.Service, s.Err)
		default:
			err = fmt.Errorf("%w; %s", err, s)
		}
	}
	return err
}

func (n *node) corporate(ctx context.Context) (worker.Layer, error) {
	ingress, err := n.leader.Bounds(ctx, worker.IngressStream)
	if err != nil {
		return nil, err
	}
	rules := governance(n.settings, n.prices, n.controls)
	if err := n.db.KeepSettings(ctx, postgres.KeptSettings, rules.Version, rules.Settings().Body()); err != nil {
		return nil, err
	}
	return &handlers.Corporate{
		Ledger: n.db, Admissions: n.db, Dead: deadLetters{n.db}, Bodies: n.bodies(), Leader: n.leader,
		Policy: func() corporate.Policy { return rules }, Rules: n.keptRules(), Budgets: n.budget,
		Rates: n.rate, Serving: serving(n.detected(), n.roles.layer(messages.LayerAI)), Directory: n.people.Tenant,
		Agreements: n.told, KeepTerms: n.keptTerms(), MatchTexts: matchTexts(n.settings), Seal: n.seal(),
		Ingress: ingress.Incarnation(), Partitions: 1,
		Now: time.Now, Probe: n.probe, Control: n.control, LongestPark: longestPark(n.settings.Flowgate.Hold),
	}, nil
}

// keptRules is the policy in force, once the record has its bundle: nothing is decided by rules that nobody could decide by again.
func (n *node) keptRules() func(context.Context) (*policy.Policy, error) {
	var kept atomic.Value
	return func(ctx context.Context) (*policy.Policy, error) {
		p, err := n.control.Policy()
		version := p.Version()
		if err != nil || version == "" || kept.Load() == version {
			return p, err
		}
		body, err := json.Marshal(p.Bundle())
		if err == nil {
			err = n.db.KeepSettings(ctx, postgres.KeptPolicy, version, body)
		}
		if err != nil {
			return nil, err
		}
		kept.Store(version)
		return p, nil
	}
}

// known are the agreements as this process knows them now; nil where one of them cannot be used: requests under agreements wait then.
func (n *node) known() *flow.Book {
	book, err := n.told()
	if err != nil {
		return nil
	}
	return book
}

// keptTerms keeps the terms of agreements in the record before anything is decided by them, each once in a process.
func (n *node) keptTerms() func(context.Context, string, []byte) error {
	var kept sync.Map
	return func(ctx context.Context, version string, body []byte) error {
		if _, has := kept.Load(version); has {
			return nil
		}
		if err := n.db.KeepSettings(ctx, postgres.KeptAgreement, version, body); err != nil {
			return err
		}
		kept.Store(version, true)
		return nil
	}
}

// seal is what actions prove with that they ask a request; it is read once.
func (n *node) seal() func(context.Context) (flow.Seal, error) {
	var known atomic.Pointer[flow.Seal]
	return func(ctx context.Context) (flow.Seal, error) {
		if s := known.Load(); s != nil {
			return *s, nil
		}
		s, err := n.db.Seal(ctx)
		if err == nil {
			known.Store(&s)
		}
		return s, err
	}
}

// budget is what somebody may spend now, by the control bucket.
func (n *node) budget(tenant string, kind corporate.BudgetKind, name string, now time.Time) (corporate.Limits, bool, error) {
	return n.control.Budget(control.BudgetKey{Tenant: tenant, Kind: kind, Name: name}, now)
}

// rate is how much somebody may ask now, by the control bucket.
func (n *node) rate(tenant string, kind corporate.RateKind, name string) (corporate.RateLimits, bool, error) {
	if kind == corporate.RateBackend {
		tenant = messages.SystemTenant
	}
	return n.control.Limit(control.LimitKey{Tenant: tenant, Kind: kind, Name: name})
}

// bodies move what is too large for a message.
func (n *node) bodies() handlers.Bodies {
	return handlers.Bodies{Claims: n.claims, MaxPayload: n.conn.MaxPayload}
}

func (n *node) ai(context.Context) (worker.Layer, error) {
	serving, err := n.backends()
	if err != nil {
		return nil, err
	}
	options := breakerOptions(n.settings)
	options.OnChange = breaker.Log(n.log)
	if n.breakers, err = breaker.New(options); err != nil {
		return nil, usageError{err}
	}
	n.standing = standingOf(n.breakers, n.pace)
	processing := n.processing()
	return &handlers.AI{
		Backends: serving, Bodies: n.bodies(), Hop: n.hop, Policy: func() ai.Policy {
			now := processing
			now.Agreements = n.known()
			return now
		},
		Worker: n.folder.WorkerID(), Now: time.Now, Probe: n.probe, Observer: n.observer, Control: n.control, Cache: n.cache, Flights: n.flights,
		Pace: n.pace, Breakers: n.breakers,
	}, nil
}

// processing is layer 2's policy out of settings.
func (n *node) processing() ai.Policy {
	return ai.Policy{
		Prices: n.prices, Retry: retries(n.settings), Privacy: privacy.NewGuard(n.settings.PrivacyRules()),
		Controls: n.controls, ComplianceLevel: n.settings.Flowgate.ComplianceLevel, Cache: cacheRules(n.settings),
		NoFailover: !n.settings.CostOptimization.Strategy.FallbackOnError,
	}
}

func (n *node) optimizer(context.Context) (worker.Layer, error) {
	validation := optimizer.Policy{Controls: n.controls, ComplianceLevel: n.settings.Flowgate.ComplianceLevel}
	return &handlers.Optimizer{
		Bodies: n.bodies(), Now: time.Now, Actions: n.actions(),
		Policy: func() optimizer.Policy {
			now := validation
			now.Agreements = n.known()
			return now
		},
	}, nil
}

type deadLetters struct{ db *postgres.DB }

func (d deadLetters) DeadLetter(ctx context.Context, key messages.Key) ([]byte, error) {
	letter, err := d.db.DeadLetter(ctx, key, -1)
	if err != nil {
		return nil, err
	}
	return letter.Envelope, nil
}

// governance is layer 1's policy out of settings.
func governance(s configs.Settings, prices *pricing.Table, controls *compliance.Book) corporate.Policy {
	allowed := make(map[string]bool)
	for _, m := range s.Flowgate.Admission.AllowedModels {
		allowed[m] = true
	}
	limits := s.CostOptimization.InForce()
	p := corporate.Policy{
		MinAuditReason: s.Flowgate.Admission.MinAuditReason, AllowUnknownUser: s.Flowgate.Admission.AllowUnknownUser,
		AllowUnknownDepartment: s.Flowgate.Admission.AllowUnknownDepartment,
		DefaultModel:           s.AWS.Bedrock.DefaultModel, Aliases: s.AWS.Bedrock.ModelMapping, AllowedModels: allowed,
		Models:           modelDefaults(s),
		Privacy:          privacy.NewGuard(s.PrivacyRules()),
		BillableAttempts: s.Flowgate.BillableAttempts,
		Controls:         controls, ComplianceLevel: s.Flowgate.ComplianceLevel,
		Limits: corporate.Limits{
			Request: limits.RequestLimit.MicroUSD(), Day: limits.DailyLimit.MicroUSD(), Month: limits.MonthlyLimit.MicroUSD(),
		},
	}
	p.Rates.RequestsMinute, p.Rates.RequestsHour = s.Security.Access.RateLimit.InForce()
	p.Prices, p.Location = prices, s.Flowgate.Location()
	p.Version = corporate.VersionOf(p.Settings().Body())
	return p
}

// retries are the delay policies out of settings, by model family.
func retries(s configs.Settings) ai.Retries {
	policy := func(r configs.RetryPolicy) ai.Retry {
		return ai.Retry{Attempts: r.MaxRetries, BaseDelay: r.BaseDelay, MaxDelay: r.MaxDelay, Factor: r.BackoffFactor}
	}
	all := ai.Retries{Default: policy(s.Retry.Default), Families: make(map[string]ai.Retry)}
	for family, r := range s.Retry.Families() {
		all.Families[family] = policy(r)
	}
	return all
}
