package backends

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"

	"flowgate/pipelines/ai"
)

// lost is the fault of a call that has no whole answer. What was perhaps sent is in doubt, what was not is transient.
//
// Its cause is kept for logs only as far as it cannot hold anything of question or answer: an error of net/http may quote
// what the server sent.
func lost(ctx context.Context, sent bool, err error) *ai.Fault {
	code, cause := troubleOf(ctx, err)
	if sent {
		return inDoubt(code, "the request was sent and no whole answer came", cause)
	}
	if cause == nil {
		cause = err
	}
	return &ai.Fault{Class: ai.ClassTransient, Code: code, Detail: "the provider was not reached; nothing was sent", Err: cause}
}

func inDoubt(code, detail string, cause error) *ai.Fault {
	return &ai.Fault{Class: ai.ClassInDoubt, Code: code, Detail: detail, Err: cause}
}

// troubleOf names what went wrong below HTTP, and the part of err that says so.
func troubleOf(ctx context.Context, err error) (code string, cause error) {
	if ended := ctx.Err(); ended != nil {
		return endedCode(ended), ended
	}
	var (
		dns     *net.DNSError
		errno   syscall.Errno
		certs   *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
		timeout net.Error
	)
	switch {
	case errors.Is(err, errTooLarge):
		return "too_large", errTooLarge
	case errors.As(err, &dns):
		return "dns", dns
	case errors.As(err, &certs), errors.As(err, &record), errors.As(err, &alert), errors.Is(err, http.ErrSchemeMismatch):
		return "tls", nil
	case errors.As(err, &errno):
		return errnoCode(errno), errno
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "half_answer", io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF):
		return "eof", io.EOF
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout", nil
	}
	return "connection", nil
}

func errnoCode(errno syscall.Errno) string {
	if errno.Timeout() {
		return "timeout"
	}
	switch errno { //nolint:exhaustive // the others share a name
	case syscall.ECONNREFUSED:
		return "refused"
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED:
		return "reset"
	}
	return "connection"
}

// endedCode tells a deadline from a cancellation.
func endedCode(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	return "cancelled"
}
