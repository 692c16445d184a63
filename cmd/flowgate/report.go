package main

import (
	"os"
	"time"

	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker/fleet"
)

// report is what this process tells the fleet of itself; began is when it started. It must not block.
func (n *node) report(began time.Time) fleet.Report {
	r := fleet.Report{
		Worker: n.folder.WorkerID(), PID: os.Getpid(), Version: version, StartedAt: began,
		Layers: n.roles.layerNames(), Queues: n.pulled,
		SettingsVersion: n.settings.Version(), Backends: n.serving, Statistics: n.book.Snapshot(),
		Health: n.monitor.Snapshot(),
	}
	if n.roles.layer(messages.LayerAI) {
		r.BackendStates = n.backendStates(time.Now())
	}
	if n.roles.has(roleRecorder) {
		r.Parts = append(r.Parts, string(roleRecorder))
	}
	if n.roles.has(roleActions) {
		r.Parts = append(r.Parts, string(roleActions))
	}
	var err error
	if r.Host, err = os.Hostname(); err != nil {
		r.Host = ""
	}
	if r.Disk, err = fleet.DiskOf(n.folder.Dir()); err != nil {
		n.log.Debug("measuring the disk", zap.Error(err))
	}
	return r
}

// backendStates are all backends, as this process stands to them.
func (n *node) backendStates(now time.Time) []fleet.Backend {
	all := make([]fleet.Backend, len(n.found))
	for i, f := range n.found {
		all[i] = f.state(n.prices, now)
		if n.standing != nil && all[i].Skipped == "" {
			all[i].Standing = n.standing(f.Name)
		}
	}
	return all
}

// layerNames are the layers of this process, in the order of the chain.
func (rs roles) layerNames() []messages.LayerName {
	var names []messages.LayerName
	for _, link := range pipelines.Chain() {
		if rs.layer(link.Name) {
			names = append(names, link.Name)
		}
	}
	return names
}
