package main

import (
	"context"
	"fmt"
	"os"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/templates"
	"flowgate/worker/actions"
	"flowgate/worker/actions/own"
	"flowgate/worker/handlers"
	"flowgate/worker/results"
	"flowgate/worker/sessions"
)

// actions carries out the actions of agreements in a process that has that role; others deny them.
func (n *node) actions() handlers.Actions {
	if !n.roles.has(roleActions) {
		return nil
	}
	audit := n.audit(os.LookupEnv)
	functions := map[string]actions.Function{
		actions.CostAnalysisAction:    actions.CostAnalysis(n.db, n.prices),
		actions.ErrorAnalysisAction:   actions.ErrorAnalysis(n.db),
		actions.PerformanceTestAction: actions.PerformanceTest(ownChain{n}),
		actions.ScalabilityTestAction: actions.ScalabilityTest(ownChain{n}),
		actions.IntegrationTestAction: actions.IntegrationTest(n.probeAll, ownChain{n}, audit.tells),
		actions.SecurityTestAction:    actions.SecurityTest(audit.looks(), audit.tells),
	}
	for _, o := range own.Actions() {
		functions[o.Name] = o.Function
	}
	for _, t := range n.templates {
		functions[t.Name] = actions.FromTemplate(t)
	}
	floor := actions.New(actions.Options{
		Functions: functions, Parameters: actions.ParametersOf(n.catalog), Chain: ownChain{n},
		History: n.db, Seal: n.seal(), Location: n.settings.Flowgate.Location(), Logger: n.log,
	})
	n.down.push("ending the actions of agreements", func() error { floor.Close(); return nil })
	return floor
}

// catalogOf lists the actions of a deployment with such settings, and its templates.
func catalogOf(s configs.Settings) ([]actions.About, []*templates.Template, error) {
	made, err := configs.LoadActions(s.Flowgate.ActionsFolder)
	if err != nil {
		return nil, nil, err
	}
	catalog, err := actions.Catalog(own.Actions(), made)
	return catalog, made, err
}

// probeAll asks every service that this process depends on, now.
func (n *node) probeAll(ctx context.Context) ([]sessions.Health, error) {
	probes, unused := n.coreProbes()
	monitor, err := sessions.NewMonitor(monitorOptions(n.settings, append(probes, n.services.probes...), append(unused, n.services.unused...)))
	if err != nil {
		return nil, err
	}
	return monitor.Once(ctx), nil
}

// ownChain asks the chain that this process is a part of.
type ownChain struct{ *node }

// Ask publishes a request of the class std and waits for its result. An id that was asked before is not asked again.
func (c ownChain) Ask(ctx context.Context, key messages.Key, body []byte) (messages.Result, error) {
	if _, _, err := publishRequest(ctx, c.js, messages.ClassStd, key, body); err != nil { // one that is there is found again
		return messages.Result{}, fmt.Errorf("submitting a request: %w", err)
	}
	return results.Wait(ctx, c.conn, key, 0)
}
