package main

import (
	"testing"

	"flowgate/configs"
	"flowgate/worker/state"
)

func TestProbeAsksTheProcessOfTheStateFolder(t *testing.T) {
	t.Parallel()
	g := &globals{state: t.TempDir()}
	ask := func(address string) string {
		var s configs.Settings
		s.Flowgate.HTTP = address
		url, err := g.readyURL(s)
		if err != nil {
			return exitWord(err)
		}
		return url
	}
	want := func(what, address, url string) {
		t.Helper()
		if got := ask(address); got != url {
			t.Errorf("%s: with flowgate.http %q it asks %s, want %s", what, address, got, url)
		}
	}
	want("nothing runs", configs.HTTPAuto, "http://"+upHTTP+"/readyz")
	want("nothing runs", "127.0.0.1:0", "usage")
	folder, err := state.Open(g.state)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := folder.Publish(state.Info{PID: 1, HTTPURL: "http://127.0.0.1:5555"}); err != nil {
		t.Fatal(err)
	}
	want("one runs", configs.HTTPAuto, "http://127.0.0.1:5555/readyz")
	want("one runs", "127.0.0.1:0", "http://127.0.0.1:5555/readyz")
	want("one runs", "127.0.0.1:4444", "http://127.0.0.1:4444/readyz")
	want("one runs", "", "usage")
}

func exitWord(err error) string {
	if exitCode(err) == exitUsage {
		return "usage"
	}
	return err.Error()
}
