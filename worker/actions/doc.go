// Package actions carries out what FLOW agreements stand for: functions that measure this very system, each registered by the name that
// an agreement's action has.
//
// A function is given the agreement's parameters and returns a document, with the number of samples that it rests on; a Floor runs it
// apart from the layer that asks, bounded in time and number, and turns a panic, a fault, or a result that fails its own check into the
// agreement's fallback: the newest measured result that is young enough.
//
// Own actions are functions in the package own, or templates of requests: see template.go. What an own action asks of models goes through the
// chain as a part of its order: see Order.Ask.
//
// Read next: floor.go, then cost.go and errors.go; catalog.go lists what there is.
package actions
