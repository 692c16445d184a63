// Package templates has actions of agreements that are written as data: a template names parameters, the requests that are asked one after
// the other or at once, and what their last answer must be.
//
// New checks a template whole. Bind turns what an agreement and a request give into the values of its parameters; Request makes the request
// of a step out of these and of answers of earlier steps. What stands in a value or an answer is put in once and never read as a template.
//
// Read next: template.go, then text.go and bind.go.
package templates
