package postgres

import (
	"strings"
	"testing"
	"time"
)

func TestParseWhere(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		`class = batch`: " AND r.class = $3",
		`class=batch and user != "alice and bob"`:       " AND r.class = $3 AND r.user_id != $4",
		`age > 10m AND admitted > 2026-01-01T00:00:00Z`: " AND r.admitted_at < $3 AND r.admitted_at > $4",
		`ID = inv_*`: " AND r.id LIKE $3",
		`id != '*-7' and state = waiting and model="x"`:   " AND r.id NOT LIKE $3 AND r.state = $4 AND r.model = $5",
		`waits_for = paused`:                              " AND r.reason = $3",
		`user = "and" and department = "=; DROP TABLE x"`: " AND r.user_id = $3 AND r.department = $4",
	} {
		w, err := ParseWhere(text, now)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, args := w.sql(3)
		if got != want || len(args) != strings.Count(want, "$") {
			t.Errorf("%s gave %q with %v", text, got, args)
		}
	}
	w, err := ParseWhere("id = a_b*", now)
	if err != nil {
		t.Fatal(err)
	}
	if _, args := w.sql(1); args[0] != `a\_b%` {
		t.Errorf("pattern %v", args)
	}
	for text, word := range map[string]string{
		"": "no condition", "class": "FIELD = VALUE", "class = ": "FIELD = VALUE", "colour = red": "is no field", "class = slow": "one of rt, std, batch",
		"class > rt": "by = or !=", "age = 10m": "by < or >", "age > soon": "duration", "age > -1m": "duration", "admitted < yesterday": "time such as",
		"class = rt or user = x": "joined by and", "class = rt and": "joined by and", `user = "x`: "not closed", "state = done": "waiting, approved",
		strings.Repeat("class = rt and ", 20) + "class = rt": "may be 20", "class == rt": "by = or !=",
	} {
		if _, err := ParseWhere(text, now); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v, want %q", text, err, word)
		}
	}
}

func FuzzParseWhere(f *testing.F) {
	for _, text := range []string{`class = batch and user != "a b"`, "age > 10m", `id = '*`, "a=b and", "\x00=\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := ParseWhere(text, time.Unix(0, 0))
		if err != nil {
			return
		}
		sql, args := w.sql(3)
		if len(args) != strings.Count(sql, " AND ") || len(args) != strings.Count(sql, "$") {
			t.Errorf("%q gave %q with %d arguments", text, sql, len(args))
		}
	})
}
