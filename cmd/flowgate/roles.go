package main

import (
	"fmt"
	"slices"
	"strings"

	"flowgate/messages"
	"flowgate/pipelines"
)

// role is one part of the work that a process may have: a layer of the chain, or the record.
type role string

// roleRecorder records what the layers publish, answers for results, and does the chores of the deployment.
const roleRecorder role = "recorder"

// roleActions carries out the actions of agreements: a layer 3 that has the database, and may submit requests. Either all workers of
// layer 3 have it or none: one without it denies them.
const roleActions role = "actions"

// roles are what one process has, in the order of the chain.
type roles []role

// allRoles is every role: what `flowgate up` has.
func allRoles() roles {
	var all roles
	for _, link := range pipelines.Chain() {
		all = append(all, role(link.Name))
	}
	return append(all, roleRecorder, roleActions)
}

// roleNames are the words for each role: the layer's name, and that of its first queue for short.
func roleNames() map[string]role {
	names := map[string]role{string(roleRecorder): roleRecorder, string(roleActions): roleActions}
	for _, link := range pipelines.Chain() {
		names[string(link.Name)], names[link.Queues[0].Name] = role(link.Name), role(link.Name)
	}
	return names
}

// shortRoles are the short words, in the order of the chain.
func shortRoles() []string {
	var names []string
	for _, link := range pipelines.Chain() {
		names = append(names, link.Queues[0].Name)
	}
	return append(names, string(roleRecorder), string(roleActions))
}

// parseRoles reads names of roles; each counts once, and their order is that of the chain. Actions are of layer 3, and bring it with them.
func parseRoles(words []string) (roles, error) {
	names, chosen := roleNames(), map[role]bool{}
	for _, word := range words {
		r, known := names[strings.ToLower(strings.TrimSpace(word))]
		if !known {
			return nil, fmt.Errorf("unknown layer %q: must be of %s", word, strings.Join(shortRoles(), ", "))
		}
		chosen[r] = true
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("choose layers with --layer, one or several of %s", strings.Join(shortRoles(), ", "))
	}
	chosen[role(messages.LayerOptimizer)] = chosen[role(messages.LayerOptimizer)] || chosen[roleActions]
	return slices.DeleteFunc(allRoles(), func(r role) bool { return !chosen[r] }), nil
}

func (rs roles) has(r role) bool { return slices.Contains(rs, r) }

// layer tells whether the process has this layer.
func (rs roles) layer(name messages.LayerName) bool { return rs.has(role(name)) }

// chain tells whether the process has any layer.
func (rs roles) chain() bool {
	return slices.ContainsFunc(rs, func(r role) bool { return r != roleRecorder && r != roleActions })
}

// database tells whether the process speaks to Postgres: governance keeps its ledger there and the recorder the record, and actions read
// both; the other layers never touch it.
func (rs roles) database() bool {
	return rs.layer(messages.LayerCorporate) || rs.has(roleRecorder) || rs.has(roleActions)
}

func (rs roles) strings() []string {
	words := make([]string, len(rs))
	for i, r := range rs {
		words[i] = string(r)
	}
	return words
}
