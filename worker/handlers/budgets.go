package handlers

import (
	"flowgate/pipelines/corporate"
	"flowgate/worker"
)

// budgets are those that a request counts in, as operators set them.
func (c *Corporate) budgets(t *worker.Task, s *corporate.Seen, a *corporate.Agreed) ([]corporate.Budget, error) {
	if c.Budgets == nil {
		return nil, nil
	}
	names := map[corporate.BudgetKind]string{
		corporate.BudgetTenant: t.Tenant, corporate.BudgetUser: s.UserID, corporate.BudgetDepartment: s.Department,
	}
	if a != nil {
		names[corporate.BudgetAgreement] = a.Trigger
	}
	var all []corporate.Budget
	for _, kind := range corporate.BudgetKinds() {
		name, has := names[kind]
		if !has {
			continue
		}
		limits, has, err := c.Budgets(t.Tenant, kind, name, t.Started)
		if err != nil {
			return nil, err
		}
		if has {
			all = append(all, corporate.Budget{Kind: kind, Name: name, Limits: limits})
		}
	}
	return all, nil
}
