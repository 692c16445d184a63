package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// S3Probe asks for the bucket and for one page of the objects under the prefix.
type S3Probe struct{ Sessions *Sessions }

// Name makes it a Probe.
func (p S3Probe) Name() string { return "s3" }

// Check makes it a Probe. An answer to HEAD has no body, so the second question is what tells the reason of a refusal.
func (p S3Probe) Check(ctx context.Context) (Finding, error) {
	client, err := p.Sessions.S3(ctx)
	if err != nil {
		return Finding{}, err
	}
	o := p.Sessions.options.S3
	f := Finding{Source: client.Credentials.Source()}
	once := func(o *s3.Options) { o.Retryer = aws.NopRetryer{} }
	_, headed := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &o.Bucket}, once)
	if at := bucketRegion(headed); at != "" && at != client.Region {
		return f, fmt.Errorf("bucket %s is in the region %s, asked for in %s: set s3.region", o.Bucket, at, client.Region)
	}
	page, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &o.Bucket, Prefix: &o.Prefix}, once)
	if err != nil {
		return f, fmt.Errorf("bucket %s: %w", o.Bucket, hinted(err, "AWS_CA_BUNDLE"))
	}
	more := ""
	if aws.ToBool(page.IsTruncated) {
		more = " or more"
	}
	f.Detail = fmt.Sprintf("bucket %s, %s, %d%s objects under %q", o.Bucket, client.Region, len(page.Contents), more, o.Prefix)
	if headed != nil {
		f.Degraded = "the prefix can be listed, but HeadBucket is refused: " + Printable(plain(headed))
		return f, nil
	}
	f.Degraded = client.Credentials.trouble()
	return f, nil
}

// bucketRegion is where an answer says that the bucket is.
func bucketRegion(err error) string {
	var answered *smithyhttp.ResponseError
	if errors.As(err, &answered) && answered.Response != nil {
		return answered.Response.Header.Get("X-Amz-Bucket-Region")
	}
	return ""
}

// hinted adds what an operator can do about a fault; bundle is the variable that names more certificates to trust.
func hinted(err error, bundle string) error {
	short := plain(err)
	switch {
	case httpStatus(err) == http.StatusNotFound:
		return fmt.Errorf("%w; does it exist, and is the endpoint the right one?", short)
	case isUnknownAuthority(err):
		return fmt.Errorf("%w; %s names a file of certificates to trust", short, bundle)
	}
	return short
}
