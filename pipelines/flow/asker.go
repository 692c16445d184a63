package flow

// Asker is in whose name an action is carried out: requests that it makes are asked by the same, for the same. What is empty nobody said.
type Asker struct {
	UserID, Department, Purpose string
	// CorrelationID joins them.
	CorrelationID string
}
