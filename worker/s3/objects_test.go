package s3_test

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flowgate/worker/s3"
	"flowgate/worker/sessions"
	"flowgate/worker/workertest"
)

// store is a bucket behind a server that verifies signatures.
type store struct {
	mu      sync.Mutex
	objects map[string][]byte
	stored  map[string]time.Time
}

func (s *store) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, inside := strings.CutPrefix(r.URL.Path, "/bucket/")
	if r.URL.Path != "/bucket" && !inside {
		workertest.RefuseAWS(w, r, http.StatusNotFound, "NoSuchBucket", "there is none")
		return
	}
	data, has := s.objects[key]
	switch {
	case !inside:
		s.list(w, r.URL.Query().Get("prefix"))
	case r.Method == http.MethodPut:
		s.objects[key], _ = io.ReadAll(r.Body)
		s.stored[key] = time.Now()
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case !has:
		workertest.RefuseAWS(w, r, http.StatusNotFound, "NoSuchKey", "there is none")
	default:
		_, _ = w.Write(data)
	}
}

func (s *store) list(w http.ResponseWriter, prefix string) {
	type object struct {
		Key          string
		LastModified string
	}
	var page struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []object
	}
	for key := range s.objects {
		if strings.HasPrefix(key, prefix) {
			page.Contents = append(page.Contents, object{key, s.stored[key].UTC().Format(time.RFC3339)})
		}
	}
	_ = xml.NewEncoder(w).Encode(page)
}

func open(t *testing.T, bucket string) (s3.Objects, *store) {
	t.Helper()
	kept := &store{objects: map[string][]byte{}, stored: map[string]time.Time{}}
	server := workertest.NewAWS(t, false, kept.serve)
	server.Know("AKIDEXAMPLE", "secret", "")
	env := map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
	clients, err := sessions.New(sessions.Options{
		Env: func(name string) (string, bool) { v, has := env[name]; return v, has },
		S3:  sessions.S3Options{Bucket: bucket, Prefix: "ours/", Endpoint: server.URL, ConnectTimeout: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clients.Close)
	return s3.Objects{Sessions: clients, Bucket: bucket, Prefix: "ours/"}, kept
}

func TestObjectsAreStoredReadAndRemoved(t *testing.T) {
	objects, kept := open(t, "bucket")
	if _, has, err := objects.Get(t.Context(), "cache/claude/a", 100); has || err != nil {
		t.Fatal(has, err)
	}
	for _, key := range []string{"cache/claude/a", "cache/claude/b", "cache/titan/a", "other"} {
		if err := objects.Put(t.Context(), key, []byte("what is in "+key)); err != nil {
			t.Fatal(err)
		}
	}
	if data, has, err := objects.Get(t.Context(), "cache/claude/a", 100); string(data) != "what is in cache/claude/a" || !has || err != nil {
		t.Fatal(string(data), has, err)
	}
	if _, has, err := objects.Get(t.Context(), "cache/claude/a", 5); has || err == nil {
		t.Error("an object that is too large was read")
	}
	if _, has := kept.objects["ours/cache/claude/a"]; !has {
		t.Error("the prefix is missing")
	}
	kept.stored["ours/cache/claude/a"] = time.Now().Add(-2 * time.Hour)
	if n, err := objects.Clear(t.Context(), "cache/", time.Now().Add(-time.Hour)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := objects.Clear(t.Context(), "cache/claude/", time.Time{}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	left := []string{}
	for key := range kept.objects {
		left = append(left, key)
	}
	slices.Sort(left)
	if !slices.Equal(left, []string{"ours/cache/titan/a", "ours/other"}) {
		t.Errorf("left are %v", left)
	}
}

func TestFaultsOfS3AreToldWithoutSecrets(t *testing.T) {
	objects, _ := open(t, "nowhere")
	_, _, read := objects.Get(t.Context(), "k", 10)
	_, listed := objects.Clear(t.Context(), "", time.Time{})
	for _, err := range []error{read, objects.Put(t.Context(), "k", []byte("x")), listed} {
		if err == nil || strings.Contains(err.Error(), "secret") || strings.ContainsAny(err.Error(), "\n") || errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
	}
}
