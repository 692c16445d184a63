// Package s3 keeps bodies as objects of the bucket that settings name. Clients and credentials come from worker/sessions.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"flowgate/worker/sessions"
)

// Objects are the objects of a bucket under a prefix.
type Objects struct {
	Sessions *sessions.Sessions
	Bucket   string
	// Prefix is what every key begins with.
	Prefix string
}

// Get reads an object of at most so many bytes; false where there is none.
func (o Objects) Get(ctx context.Context, key string, most int64) ([]byte, bool, error) {
	client, err := o.Sessions.S3(ctx)
	if err != nil {
		return nil, false, err
	}
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &o.Bucket, Key: aws.String(o.Prefix + key)})
	if _, missing := errors.AsType[*types.NoSuchKey](err); missing {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading the object %s: %w", key, errors.New(sessions.Printable(err)))
	}
	data, err := io.ReadAll(io.LimitReader(out.Body, most+1))
	if err = errors.Join(err, out.Body.Close()); err != nil {
		return nil, false, fmt.Errorf("reading the object %s: %w", key, err)
	}
	if int64(len(data)) > most {
		return nil, false, fmt.Errorf("the object %s is larger than %d bytes", key, most)
	}
	return data, true, nil
}

// Put stores an object.
func (o Objects) Put(ctx context.Context, key string, data []byte) error {
	client, err := o.Sessions.S3(ctx)
	if err != nil {
		return err
	}
	_, err = client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &o.Bucket, Key: aws.String(o.Prefix + key), Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
	})
	if err != nil {
		return fmt.Errorf("storing the object %s: %w", key, errors.New(sessions.Printable(err)))
	}
	return nil
}

// Clear removes the objects whose keys begin so, all or those alone that were stored before a moment, and tells how many.
func (o Objects) Clear(ctx context.Context, prefix string, before time.Time) (int, error) {
	client, err := o.Sessions.S3(ctx)
	if err != nil {
		return 0, err
	}
	pages := s3.NewListObjectsV2Paginator(client.Client, &s3.ListObjectsV2Input{Bucket: &o.Bucket, Prefix: aws.String(o.Prefix + prefix)})
	removed := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return removed, fmt.Errorf("listing the objects under %s: %w", prefix, errors.New(sessions.Printable(err)))
		}
		for _, object := range page.Contents {
			if !before.IsZero() && !aws.ToTime(object.LastModified).Before(before) {
				continue
			}
			if _, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &o.Bucket, Key: object.Key}); err != nil {
				return removed, fmt.Errorf("removing the object %s: %w", aws.ToString(object.Key), errors.New(sessions.Printable(err)))
			}
			removed++
		}
	}
	return removed, nil
}
