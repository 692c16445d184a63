// Package handlers has one adapter per layer: it gathers the facts, lets the layer's package in pipelines decide, and acts on
// the decision. The runtime (package worker) publishes and answers.
//
// Read corporate.go, ai.go, optimizer.go.
package handlers
