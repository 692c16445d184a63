package actions

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"flowgate/pipelines/flow"
	"flowgate/pipelines/pricing"
	"flowgate/worker/postgres"
)

// CostAnalysisAction is the name of CostAnalysis.
const CostAnalysisAction = "cost_analysis"

// Spending is where costs are on record.
type Spending interface {
	CostGroups(ctx context.Context, tenant string, since, until time.Time, zone string) ([]postgres.CostGroup, error)
	Usages(ctx context.Context, tenant string, since, until time.Time) ([]postgres.UsageGroup, error)
	PaidAgain(ctx context.Context, tenant string, since, until time.Time) (postgres.Repeated, error)
}

// Window is the stretch of time that an analysis is about.
type Window struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// CostReport is what CostAnalysis finds. Money is in micro-dollars.
type CostReport struct {
	Window

	Requests     int64 `json:"requests"`
	CostMicroUSD int64 `json:"cost_microusd"`
	// MeanMicroUSD and SpreadMicroUSD (the standard deviation) are of what one request cost.
	MeanMicroUSD   float64 `json:"mean_microusd"`
	SpreadMicroUSD float64 `json:"spread_microusd"`

	ByModel      []CostShare `json:"by_model"`
	ByUser       []CostShare `json:"by_user"`
	ByDepartment []CostShare `json:"by_department"`
	ByDay        []CostShare `json:"by_day"`

	Savings CostSavings `json:"savings"`
}

// CostShare is one's part of the costs.
type CostShare struct {
	Name         string  `json:"name"`
	Requests     int64   `json:"requests"`
	CostMicroUSD int64   `json:"cost_microusd"`
	Share        float64 `json:"share"`
	TokensIn     int64   `json:"tokens_in"`
	TokensOut    int64   `json:"tokens_out"`
}

// CostSavings are what the cache brought, what it could have brought, and what cheaper models would have.
type CostSavings struct {
	CachedRequests    int64          `json:"cached_requests"`
	CachedMicroUSD    int64          `json:"cached_microusd"`
	PaidAgainRequests int64          `json:"paid_again_requests"`
	PaidAgainMicroUSD int64          `json:"paid_again_microusd"`
	CheaperModels     []CheaperModel `json:"cheaper_models"`
	// Note says what the comparison of models is and is not.
	Note string `json:"note"`
}

// CheaperModel says what the answers of one model would have cost by the prices of another one that answered in the same window at
// least as large a part of what it was asked. Each answer is priced on its own, as its bill would be. Requests are those answers.
type CheaperModel struct {
	Model        string `json:"model"`
	Instead      string `json:"instead"`
	Requests     int64  `json:"requests"`
	CostMicroUSD int64  `json:"cost_microusd"`
	WouldCost    int64  `json:"would_cost_microusd"`
	Saves        int64  `json:"saves_microusd"`
	// Times is how many times dearer it is.
	Times float64 `json:"times"`
}

const cheaperNote = "the same tokens by today's prices; whether the answers would be as good is for people to judge"

// CostAnalysis reads what the tenant's requests cost in the last days (parameter days, 1 to 366, default 30).
func CostAnalysis(spending Spending, prices *pricing.Table) Function {
	return func(ctx context.Context, o Order) (Measured, error) {
		w, err := lastDays(o)
		if err != nil {
			return Measured{}, err
		}
		groups, err1 := spending.CostGroups(ctx, o.Tenant, w.Since, w.Until, o.Location.String())
		usages, err2 := spending.Usages(ctx, o.Tenant, w.Since, w.Until)
		again, err3 := spending.PaidAgain(ctx, o.Tenant, w.Since, w.Until)
		if errors.Join(err1, err2, err3) != nil {
			return Measured{}, errors.New("the costs on record cannot be read")
		}
		r := reportCosts(w, groups, again)
		r.Savings.CheaperModels = cheaperModels(groups, usages, prices, o.Now)
		return Measured{Document: r, Samples: r.Requests, Confidence: flow.Confidence(r.Requests, r.MeanMicroUSD, r.SpreadMicroUSD)}, nil
	}
}

const (
	defaultDays = 30
	mostDays    = 366
)

// lastDays is the window that the parameter days says.
func lastDays(o Order) (Window, error) {
	days, err := o.Number("days", defaultDays, 1, mostDays)
	if err != nil {
		return Window{}, err
	}
	return Window{Since: o.Now.AddDate(0, 0, -days).UTC(), Until: o.Now.UTC()}, nil
}

func reportCosts(w Window, groups []postgres.CostGroup, again postgres.Repeated) *CostReport {
	r := &CostReport{
		Window: w, ByModel: []CostShare{}, ByUser: []CostShare{}, ByDepartment: []CostShare{}, ByDay: []CostShare{},
		Savings: CostSavings{PaidAgainRequests: again.Requests, PaidAgainMicroUSD: again.CostMicroUSD, CheaperModels: []CheaperModel{}, Note: cheaperNote},
	}
	for _, g := range groups {
		if g.By == "all" {
			r.Requests, r.CostMicroUSD, r.MeanMicroUSD, r.SpreadMicroUSD = g.Requests, g.CostMicroUSD, g.Mean, g.Spread
			r.Savings.CachedRequests, r.Savings.CachedMicroUSD = g.ReusedRequests, g.SavedMicroUSD
		}
	}
	into := map[string]*[]CostShare{"model": &r.ByModel, "user": &r.ByUser, "department": &r.ByDepartment, "day": &r.ByDay}
	for _, g := range groups {
		shares, known := into[g.By]
		if !known || g.Requests == 0 {
			continue
		}
		share := CostShare{Name: g.Name, Requests: g.Requests, CostMicroUSD: g.CostMicroUSD, TokensIn: g.Usage.Input(), TokensOut: g.Usage.Output}
		if r.CostMicroUSD > 0 {
			share.Share = float64(g.CostMicroUSD) / float64(r.CostMicroUSD)
		}
		*shares = append(*shares, share)
	}
	return r
}

// cheaperModels finds for each model the one by whose prices its answers would have cost least, where that is less: what saves most first.
func cheaperModels(groups []postgres.CostGroup, usages []postgres.UsageGroup, prices *pricing.Table, now time.Time) []CheaperModel {
	models := slices.DeleteFunc(slices.Clone(groups), func(g postgres.CostGroup) bool { return g.By != "model" || g.Answered == 0 })
	all := []CheaperModel{}
	for _, m := range models {
		own := slices.DeleteFunc(slices.Clone(usages), func(u postgres.UsageGroup) bool { return u.Model != m.Name })
		var best CheaperModel
		for _, other := range models {
			if other.Name == m.Name || other.Answered*(m.Answered+m.Failed) < m.Answered*(other.Answered+other.Failed) {
				continue
			}
			if c := instead(m.Name, other.Name, own, prices, now); c.Saves > best.Saves {
				best = c
			}
		}
		if best.Saves > 0 {
			all = append(all, best)
		}
	}
	slices.SortStableFunc(all, func(a, b CheaperModel) int { return cmp.Compare(b.Saves, a.Saves) })
	return all
}

// instead prices the answers of one model by the rows of both. An answer that either cannot price is left out.
func instead(model, other string, usages []postgres.UsageGroup, prices *pricing.Table, now time.Time) CheaperModel {
	c := CheaperModel{Model: model, Instead: other}
	own, has := prices.Row(model, now)
	row, also := prices.Row(other, now)
	if !has || !also {
		return c
	}
	for _, u := range usages {
		if !own.Prices(u.Usage) || !row.Prices(u.Usage) {
			continue
		}
		c.Requests += u.Requests
		c.CostMicroUSD += u.Requests * own.Cost(u.Usage)
		c.WouldCost += u.Requests * row.Cost(u.Usage)
	}
	c.Saves = c.CostMicroUSD - c.WouldCost
	if c.WouldCost > 0 {
		c.Times = float64(c.CostMicroUSD) / float64(c.WouldCost)
	}
	return c
}
