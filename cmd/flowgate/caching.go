package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker/broker"
	"flowgate/worker/cache"
	"flowgate/worker/doctor"
	"flowgate/worker/flights"
	"flowgate/worker/metrics"
	"flowgate/worker/s3"
)

// cacheRules say what is cached, out of settings.
func cacheRules(s configs.Settings) ai.CacheRules {
	c, _ := s.CacheInForce()
	rule := func(p configs.CachePolicy) ai.CacheRule { return ai.CacheRule{Enabled: p.Enabled, TTL: p.TTL()} }
	rules := ai.CacheRules{Enabled: c.Enabled, Sampled: c.Sampled, Default: rule(c.Default), Families: make(map[string]ai.CacheRule)}
	for family, p := range c.Families() {
		rules.Families[family] = rule(p)
	}
	return rules
}

// cacheFolder is where the files of the cache are: one folder for all processes of a state root.
func cacheFolder(s configs.Settings, root string) (string, error) {
	dir := s.Cache.Default.CacheDir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(root, dir)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", environmentError{fmt.Errorf("finding the folder of the cache: %w", err)}
	}
	return dir, nil
}

// usableFolder says why a folder cannot be that of the cache, and what to do about it. One that is not there is made when it is needed.
func usableFolder(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s is no folder, where the cache keeps its files: move it away, or name a folder in the setting cache.default.cache_dir", dir)
	}
	if fault, ok := errors.AsType[*fs.PathError](err); ok {
		err = fault.Err
	}
	return fmt.Errorf("%s cannot be looked into, where the cache keeps its files: %w; mend that, or name a folder in the setting cache.default.cache_dir", dir, err)
}

// warnOfFolder tells of a folder that cannot be used. It may become one that can; meanwhile what no other level answers is paid for.
func warnOfFolder(log *zap.Logger, dir string) {
	if dir == "" { // there are no files
		return
	}
	if err := usableFolder(dir); err != nil {
		log.Warn("the cache keeps no files", zap.Error(err))
	}
}

// cacheOptions are those of the cache out of settings, without the level that workers share.
func cacheOptions(s configs.Settings, root string) (cache.Options, error) {
	c, inMemory := s.CacheInForce()
	family := func(p configs.CachePolicy) cache.Family {
		return cache.Family{MaxBytes: int64(p.MaxCacheSizeMB) << 20, Compress: p.Compression}
	}
	o := cache.Options{
		Default: family(c.Default), Families: make(map[string]cache.Family), MemoryBytes: int64(c.MemoryMB) << 20, Secret: c.EncryptionKey.Reveal(),
	}
	for name, p := range c.Families() {
		o.Families[name] = family(p)
	}
	if inMemory {
		return o, nil
	}
	var err error
	o.Dir, err = cacheFolder(s, root)
	return o, err
}

// cacheShares tells whether the level that workers share is used.
func cacheShares(s configs.Settings) bool {
	c, inMemory := s.CacheInForce()
	return c.Enabled && c.Shared.Enabled && !inMemory
}

// startCache opens the cache of answers, and with it the flights of identical questions, where this process has layer 2, and settings do not switch it off.
func (n *node) startCache(parts context.Context) error {
	if !n.roles.layer(messages.LayerAI) || !cacheRules(n.settings).Enabled {
		return nil
	}
	o, err := cacheOptions(n.settings, n.root)
	if err != nil {
		return err
	}
	o.Logger = n.log
	warnOfFolder(n.log, o.Dir)
	if cacheShares(n.settings) {
		o.Shared = broker.NewCacheBucket(n.js, n.cacheObjects())
	}
	if n.cache, err = cache.New(o); err != nil {
		return environmentError{err}
	}
	n.parts.Go(func() { n.cache.Run(parts) })
	n.flights = flights.New(flights.Options{JS: n.js, Worker: n.folder.WorkerID(), Logger: n.log})
	n.parts.Go(func() { n.flights.Run(parts) })
	return nil
}

// cacheObjects are where shared answers go that are too large for the bucket; nil without S3.
func (n *node) cacheObjects() broker.Objects {
	if n.services == nil || n.settings.S3.Bucket == "" {
		return nil
	}
	return s3.Objects{Sessions: n.services.aws, Bucket: n.settings.S3.Bucket, Prefix: n.settings.S3.Prefix}
}

// askCache is how the cache stands; false where there is none.
func (n *node) askCache() (stand metrics.Cache, known bool) {
	if !n.ready.Load() || n.cache == nil {
		return stand, false
	}
	s := n.cache.Stats()
	return metrics.Cache{
		Hits: map[string]int64{
			string(cache.LevelMemory): s.Memory, string(cache.LevelDisk): s.Disk, string(cache.LevelShared): s.Shared,
		},
		Bytes:  map[string]int64{string(cache.LevelMemory): s.MemoryBytes, string(cache.LevelDisk): s.DiskBytes},
		Misses: s.Misses, Evicted: s.Evicted, SavedMicroUSD: s.SavedMicroUSD,
	}, true
}

// lookAtCache is how the cache of the state folder stands, for the doctor.
func (g *globals) lookAtCache(s configs.Settings) *doctor.CacheFacts {
	if !cacheRules(s).Enabled {
		return &doctor.CacheFacts{Off: true}
	}
	root, err := g.dir(s)
	if err == nil {
		root, err = cacheFolder(s, root)
	}
	var found cache.Surveyed
	if err == nil {
		err = usableFolder(root)
	}
	if err == nil {
		found, err = cache.Survey(root, time.Now())
	}
	if err != nil {
		return &doctor.CacheFacts{Fault: err.Error()}
	}
	t := found.Total
	return &doctor.CacheFacts{Families: len(found.Families), Files: t.Files, Bytes: t.SizeBytes, Asked: t.Hits + t.Misses, HitRate: t.HitRate}
}
