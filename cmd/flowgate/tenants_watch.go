package main

import (
	"context"
	"sync"

	"go.uber.org/zap"

	"flowgate/worker/tenants"
)

// watchTenants lets the broker of our own follow the book of tenants: what is changed there holds within a second, and stands
// in what this process announces.
func (n *node) watchTenants(context.Context) error {
	if n.broker == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		tenants.Watch(ctx, n.folder.Dir(), n.tenants, func(b tenants.Book) {
			if err := n.broker.Rebuild(b.Walls()); err != nil {
				n.log.Error("the tenants were changed, and do not hold here", zap.Uint64("version", b.Version), zap.Error(err))
				return
			}
			n.tenants = b.Version
			n.log.Info("the tenants were changed", zap.Uint64("version", b.Version), zap.Int("tenants", len(b.Tenants)))
			if err := n.announce(ctx); err != nil {
				n.log.Error("the tenants were changed", zap.Error(err))
			}
		}, func(err error) { n.log.Error("tenants", zap.Error(err)) })
	})
	n.down.push("watching the tenants", func() error {
		cancel()
		watch.Wait()
		return nil
	})
	return nil
}
