package main

import (
	"fmt"
	"os"

	"flowgate/configs"
	"flowgate/worker"
	"flowgate/worker/backends"
	"flowgate/worker/handlers"
	"flowgate/worker/sessions"
)

// detected is what settings and environment say of every backend.
func (n *node) detected() []found { return detect(n.settings, os.LookupEnv) }

// backends makes those that serve.
func (n *node) backends() ([]handlers.Serving, error) {
	var made []handlers.Serving
	n.found = n.detected()
	for _, f := range used(n.found) {
		b, err := n.open(f.Name)
		if err != nil {
			return nil, usageError{err}
		}
		made = append(made, handlers.Serving{Backend: b, Menu: f.Menu, Region: f.Region, Means: meaning(n.settings, f)})
		n.serving = append(n.serving, f.Name)
	}
	return made, nil
}

// open makes a backend; what it holds open is closed when the process stops.
func (n *node) open(name string) (worker.Backend, error) {
	switch name {
	case configs.AnthropicName:
		b, err := backends.NewAnthropic(anthropicOptions(n.settings))
		return closing(n, b, err)
	case configs.BedrockName:
		return n.openBedrock()
	case configs.MLflowName:
		b, err := backends.NewMLflow(mlflowOptions(n.settings, os.LookupEnv))
		return closing(n, b, err)
	case configs.OpenAIName:
		b, err := backends.NewOpenAI(openAIOptions(n.settings))
		return closing(n, b, err)
	case configs.OfflineName:
		return backends.NewOffline(backends.OfflineOptions{Latency: n.settings.Flowgate.Backends.Offline.Latency})
	}
	return nil, fmt.Errorf("backend %s: this version cannot ask it", name)
}

// openBedrock makes the Bedrock backend with a client of AWS of its own.
func (n *node) openBedrock() (worker.Backend, error) {
	options := awsOptions(n.settings, os.LookupEnv)
	options.Renewed = func() { n.renewed(configs.BedrockName) }
	aws, err := sessions.New(options)
	if err != nil {
		return nil, err
	}
	n.down.push("closing the clients of AWS", func() error { aws.Close(); return nil })
	return backends.NewBedrock(bedrockOptions(n.settings, aws))
}

// closing has a backend closed when the process stops.
func closing[B interface {
	worker.Backend
	Close()
}](n *node, b B, err error) (worker.Backend, error) {
	if err != nil {
		return nil, err
	}
	n.down.push("closing the "+b.Name()+" backend", func() error { b.Close(); return nil })
	return b, nil
}
