// Package mutants proves that the suite notices when a rule of the protocol is broken. table_test.go lists bugs as changes
// of the product's text, each with the tests that must fail because of it. The changes reach the compiler through the go
// command's -overlay: nothing of them is in the product, and no file is touched.
//
// `make test` sees to it that every change still fits its place and compiles. `make mutants` builds each, runs the tests
// that are named and demands that every one of them fails; unchanged, all of them must pass.
//
// Read next: table_test.go.
package mutants
