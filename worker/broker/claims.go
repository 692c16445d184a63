package broker

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"flowgate/messages"
	"flowgate/worker"
)

var (
	// ErrMissing says that the claim store has no such body. It is worker.ErrClaimMissing. In a cluster a follower may lag:
	// try again for a while before giving up.
	ErrMissing = worker.ErrClaimMissing
	// ErrAltered says that what the store has is not what was put.
	ErrAltered = worker.ErrClaimAltered
)

// bodyTimeout bounds the transfer of one body where the caller's context has no deadline: a body whose pieces are gone
// would be waited for.
const bodyTimeout = 30 * time.Second

// Claims is the claim store over the object bucket: bodies that are too large for an envelope. A body belongs to one epoch
// of one request and is never shared between requests.
type Claims struct {
	js     jetstream.JetStream
	bodies jetstream.ObjectStore
}

// OpenClaims opens the object bucket of the topology.
func OpenClaims(ctx context.Context, js jetstream.JetStream) (*Claims, error) {
	bodies, err := js.ObjectStore(ctx, BucketBodies)
	if err != nil {
		return nil, fmt.Errorf("opening the claim store: %w", err)
	}
	return &Claims{js: js, bodies: bodies}, nil
}

// Put stores a body and returns when it is durable. Putting the same body for the same epoch again stores nothing.
func (c *Claims) Put(ctx context.Context, key messages.Key, epoch int, body []byte) (messages.Claim, error) {
	ctx, cancel := bounded(ctx, bodyTimeout)
	defer cancel()
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	claim := messages.Claim{Key: claimKey(key, epoch, digest), SHA256: digest, Size: len(body)}
	info, err := c.bodies.GetInfo(ctx, claim.Key)
	if err == nil && info.Size == uint64(len(body)) {
		return claim, nil
	}
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return messages.Claim{}, fmt.Errorf("looking for body %s: %w", claim.Key, err)
	}
	if err := c.store(ctx, claim.Key, body, sum); err != nil {
		return messages.Claim{}, fmt.Errorf("storing body %s: %w", claim.Key, err)
	}
	return claim, nil
}

// store writes an object as the client library does, but the object only after its pieces are durable, and without the
// library's publisher for each object: nats.go 1.55 can leave its goroutine behind.
func (c *Claims) store(ctx context.Context, name string, body []byte, sum [sha256.Size]byte) error {
	info := jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: pieceSize}},
		Bucket:     BucketBodies, NUID: nuid.Next(), Size: uint64(len(body)),
		Digest: "SHA-256=" + base64.URLEncoding.EncodeToString(sum[:]),
	}
	for piece := range slices.Chunk(body, pieceSize) {
		if _, err := c.js.Publish(ctx, subjectPieces+info.NUID, piece); err != nil {
			return err
		}
		info.Chunks++
	}
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	m := nats.NewMsg(objectSubject(name))
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	m.Data = data
	_, err = c.js.PublishMsg(ctx, m)
	return err
}

// Get reads a body and checks its size and digest. A body that is not there is ErrMissing, another one ErrAltered.
func (c *Claims) Get(ctx context.Context, claim messages.Claim) ([]byte, error) {
	ctx, cancel := bounded(ctx, bodyTimeout)
	defer cancel()
	body, err := c.bodies.Get(ctx, claim.Key)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("reading body %s: %w", claim.Key, ErrMissing)
	}
	if err != nil {
		return nil, fmt.Errorf("reading body %s: %w", claim.Key, err)
	}
	data, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("reading body %s: %w", claim.Key, err)
	}
	sum := sha256.Sum256(data)
	if len(data) != claim.Size || hex.EncodeToString(sum[:]) != claim.SHA256 {
		return nil, fmt.Errorf("reading body %s: %w", claim.Key, ErrAltered)
	}
	return data, nil
}

// Delete removes a body; one that is not there is no error.
func (c *Claims) Delete(ctx context.Context, claim messages.Claim) error {
	return c.remove(ctx, claim.Key)
}

// remove deletes the object, then the marker that the bucket would keep of it for ever.
func (c *Claims) remove(ctx context.Context, name string) error {
	ctx, cancel := bounded(ctx, bodyTimeout)
	defer cancel()
	if err := c.bodies.Delete(ctx, name); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("deleting body %s: %w", name, err)
	}
	if _, err := purge(ctx, c.js, streamBodies, purgeRequest{Subject: objectSubject(name)}); err != nil {
		return fmt.Errorf("deleting body %s: %w", name, err)
	}
	return nil
}

// Names of the stream that holds the bucket and of its subjects, as the client library has them.
const (
	streamBodies  = "OBJ_" + BucketBodies
	subjectPieces = "$O." + BucketBodies + ".C."
	subjectObject = "$O." + BucketBodies + ".M."
	// pieceSize is the library's, in bytes.
	pieceSize = 128 << 10
)

func objectSubject(name string) string {
	return subjectObject + base64.URLEncoding.EncodeToString([]byte(name))
}

// claimKey is <tenant>/<id>/<epoch>/<sha256>.
func claimKey(k messages.Key, epoch int, digest string) string {
	return k.Tenant + "/" + k.ID + "/" + strconv.Itoa(epoch) + "/" + digest
}

// parseClaimKey reads what claimKey wrote.
func parseClaimKey(name string) (k messages.Key, epoch int, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 {
		return k, 0, false
	}
	epoch, err := strconv.Atoi(parts[2])
	if err != nil {
		return k, 0, false
	}
	return messages.Key{Tenant: parts[0], ID: parts[1]}, epoch, true
}

// bounded gives a context without a deadline one.
func bounded(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, most)
}
