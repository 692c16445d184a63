package configs

import _ "embed"

// SampleSettings is settings.yaml as it ships: every key of ours with its default, documented. Nothing reads it but people.
//
//go:embed settings.yaml
var SampleSettings []byte

//go:embed agreements.yaml
var embeddedAgreements []byte

//go:embed prices.json
var embeddedPrices []byte

//go:embed controls.yaml
var embeddedControls []byte
