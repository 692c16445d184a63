// Package pricing knows what models cost: the price table, the worst case of a call before it is made, and its true cost
// afterwards, in whole micro-dollars (a millionth of a US dollar) and integer arithmetic throughout.
//
// Two promises hold it together. A model that the table does not know has no price, so nothing is ever priced at zero by
// accident. And the cost of a call never exceeds the bound that was reserved for it, as long as its tokens stay within
// those that the bound was computed for.
//
// Read next: row.go (one price), multiplier.go (batches, service tiers, places), cost.go (the arithmetic), table.go (which price holds
// when), dearest.go (models without a price), bill.go (a cost, line by line).
package pricing
