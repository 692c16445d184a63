package mutants

// mutant is one bug: in file, whose path is the module's, before becomes after.
type mutant struct {
	bug, file, before, after string
	// pkg and tests say who notices: every one of the tests MUST fail.
	pkg   string
	tests []string
}

// mutants are the bugs against which the rules of the protocol stand. A text MUST be found exactly once in its file: keep it
// as short as that allows.
func mutants() []mutant {
	return []mutant{
		{
			bug:    "an input is acknowledged before its next state is published",
			file:   "worker/handle.go",
			before: "receipts := r.hop.Publish(ctx, pubs)",
			after: `for i, v := range verdicts {
				if v.Action == ActionAdvance {
					r.settle(tasks[i].Delivery, answerAck, 0)
				}
			}
			receipts := r.hop.Publish(ctx, pubs)`,
			pkg:   "./worker",
			tests: []string{"TestTheNextStateIsStoredBeforeTheInputIsAcknowledged", "TestNothingIsAcknowledgedWhoseNextStateWasRefused"},
		},
		{
			bug:    "an input is acknowledged whatever became of its next state",
			file:   "worker/settle.go",
			before: "zap.Error(receipt.Err))\n\treturn answerPark, lag, true",
			after:  "zap.Error(receipt.Err))\n\treturn answerAck, 0, true",
			pkg:    "./worker",
			tests:  []string{"TestNothingIsAcknowledgedWhoseNextStateWasRefused"},
		},
		{
			bug:    "a publication expects no sequence",
			file:   "worker/publish.go",
			before: "header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(p.Expect, 10)}",
			after:  "_ = strconv.FormatUint",
			pkg:    "./worker",
			tests:  []string{"TestWhoeverLosesTheComparisonAcknowledgesAndReportsWhatItSpent"},
		},
		{
			bug:    "a publication expects the sequence of its exact subject, not of the family",
			file:   "worker/publish.go",
			before: "[]string{messages.Family(p.P, p.Key)}",
			after:  "[]string{messages.WorkSubject(p.P, p.State, p.Class, p.Key)}",
			pkg:    "./worker",
			tests:  []string{"TestTheNextStateIsStoredBeforeTheInputIsAcknowledged"},
		},
		{
			bug:    "the janitor counts what is pending instead of looking where it lies",
			file:   "worker/broker/janitor.go",
			before: "acked := c.CachedInfo().AckFloor.Stream\n",
			after: `acked := c.CachedInfo().AckFloor.Stream
	if i := c.CachedInfo(); i != nil {
		return last - min(last, i.NumPending+uint64(i.NumAckPending)), nil
	}
`,
			pkg:   "./worker/broker",
			tests: []string{"TestSweep"},
		},
		{
			bug:    "a delayed retry hands the old message back instead of publishing a new one",
			file:   "worker/handlers/calling.go",
			before: "e.Base = 0\n\treturn a.next(ctx, x.Task, messages.StateAI)",
			after:  "e.Base = 0\n\treturn worker.Park(e.NotBefore, nil)",
			pkg:    "./worker/handlers",
			tests:  []string{"TestTheChainTellsEachDeliveryAttemptAndDeadLetterOnce"},
		},
		{
			bug:    "a billable backend is called without the state calling",
			file:   "worker/handlers/calling.go",
			before: "if x.plan.Backend.Billable {",
			after:  "if x.plan.Backend.Billable && x.Expect == 0 {",
			pkg:    "./worker/handlers",
			tests:  []string{"TestACallWhoseAnswerIsLostInAPanicIsInDoubt"},
		},
		{
			bug:    "an outcome is recorded although there is one",
			file:   "worker/postgres/migrations/005_record_outcomes.sql",
			before: "AND a.epoch = m.epoch AND a.outcome_at IS NULL\n            RETURNING",
			after:  "AND a.epoch = m.epoch\n            RETURNING",
			pkg:    "./worker/postgres",
			tests:  []string{"TestCommitSecondOutcome"},
		},
		{
			bug:    "a duplicate gets a result of its own",
			file:   "worker/handlers/admit.go",
			before: "return event(messages.EventDuplicateID)",
			after: `t.Envelope, t.P = e, g.P
		v := refused(ctx, c.Bodies, t, c.Name(), x.decision.Refusal, c.Now())
		v.Events = event(messages.EventDuplicateID).Events
		return v`,
			pkg:   "./worker/handlers",
			tests: []string{"TestADuplicateHasNoResultEvenWhereTheStreamForgotTheFirst"},
		},
		{
			bug:    "an end is published with no state expected",
			file:   "messages/envelope.go",
			before: "if s != StateDone {",
			after:  `if s != "" {`,
			pkg:    "./worker/handlers",
			tests:  []string{"TestASleeperEndsNothingASecondTime"},
		},
		{
			bug:    "a layer ends what is past its time before it asks whether its writer slept",
			file:   "worker/handle.go",
			before: "v, judged = r.afterPurge(ctx, t); judged {",
			after:  "v, judged = r.afterPurge(ctx, t); judged && r.ending(t) == nil {",
			pkg:    "./worker/handlers",
			tests:  []string{"TestASleeperEndsNothingASecondTime"},
		},
		{
			bug:    "a refusal moves the request although its newest state is the one that was expected",
			file:   "worker/publish.go",
			before: "case found && newest.Seq > p.Expect:",
			after:  "case found && newest.Seq >= p.Expect:",
			pkg:    "./worker",
			tests:  []string{"TestWhatIsRefusedOnAccountOfNothingIsPublishedAgain"},
		},
		{
			bug:    "a submission believes that it is there already although nobody shows it",
			file:   "cmd/flowgate/publish.go",
			before: "if shown {",
			after:  "if shown || asked == nil {",
			pkg:    "./cmd/flowgate",
			tests:  []string{"TestAlreadyThereIsBelievedWhenItIsShown"},
		},
		{
			bug:    "an atomic batch has two members of one family",
			file:   "worker/group.go",
			before: "!families[p.Key] && ",
			after:  "",
			pkg:    "./worker",
			tests:  []string{"TestTwoOfOneFamilyAreComparedOneAfterTheOther"},
		},
		{
			bug:    "a durable broker acknowledges before it flushes",
			file:   "worker/broker/server.go",
			before: "SyncAlways: o.Sync,",
			after:  "SyncAlways: false,",
			pkg:    "./worker/broker",
			tests:  []string{"TestAFlushPrecedesEachAcknowledgement"},
		},
		{
			bug:    "a tenant's account reaches the subjects of every tenant",
			file:   "worker/broker/accounts.go",
			before: "tenant: t.Name, keys: t.Keys",
			after:  "tenant: \"*\", keys: t.Keys",
			pkg:    "./worker/broker",
			tests:  []string{"TestAttackPublishingToAnotherTenantsRequests"},
		},
		{
			bug:    "who names a tenant's public key is let in without its seed",
			file:   "worker/broker/doorkeeper.go",
			before: "user != nil && !signed(said.Nkey, said.Sig, c.GetNonce())",
			after:  "user != nil && said.Sig == \"\"",
			pkg:    "./worker/broker",
			tests:  []string{"TestAttackWithoutACredential"},
		},
		{
			bug:    "a suspended tenant is let in",
			file:   "worker/tenants/book.go",
			before: "if t.Suspended == nil && c.Suspended == nil {",
			after:  "if c.Suspended == nil {",
			pkg:    "./worker/tenants",
			tests:  []string{"TestWallsAreThoseOfTheBook"},
		},
	}
}
