// Package configs reads what operators write: settings.yaml, agreements.yaml and prices.json. Every key has its meaning,
// unit and default in one struct; a file is read strictly, and every fault of it is reported at once with its line.
//
// Environment variables win over the file, the file over the defaults. Only cmd reads this package: whatever else is
// configured takes options.
//
// Read next: settings.go (the whole), flowgate.go (our own section), settings.yaml (the same, as an operator meets it).
package configs
