package backends

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"flowgate/pipelines/ai"
	"flowgate/worker/sessions"
)

// codeClock is the code where signatures do not count because clocks differ.
const codeClock = "clock_skew"

// codeCredentials is the code where there are no credentials to sign with.
const codeCredentials = "credentials"

// bedrockClasses are the exceptions of Bedrock, and of what stands before it. ModelErrorException goes by the status that the model had.
var bedrockClasses = map[string]ai.Class{
	"ThrottlingException": ai.ClassRateLimited, "ModelNotReadyException": ai.ClassRateLimited, "TooManyRequestsException": ai.ClassRateLimited,
	"ServiceQuotaExceededException": ai.ClassQuota,
	"ServiceUnavailableException":   ai.ClassOverloaded,
	"InternalServerException":       ai.ClassTransient, "InternalFailure": ai.ClassTransient, "ModelTimeoutException": ai.ClassTransient,
	"ModelErrorException": ai.ClassTransient, "ModelStreamErrorException": ai.ClassTransient,
	"AccessDeniedException": ai.ClassAuth, "UnrecognizedClientException": ai.ClassAuth, "InvalidClientTokenId": ai.ClassAuth,
	"ExpiredTokenException": ai.ClassAuth, "ExpiredToken": ai.ClassAuth, "InvalidSignatureException": ai.ClassAuth, "SignatureDoesNotMatch": ai.ClassAuth,
	"IncompleteSignatureException": ai.ClassAuth, "IncompleteSignature": ai.ClassAuth, "MissingAuthenticationTokenException": ai.ClassAuth,
	"MissingAuthenticationToken": ai.ClassAuth, "OptInRequired": ai.ClassAuth, "NotAuthorized": ai.ClassAuth,
	"RequestExpired": ai.ClassAuth, "RequestTimeTooSkewed": ai.ClassAuth,
	"ValidationException": ai.ClassInvalid, "ResourceNotFoundException": ai.ClassInvalid, "ConflictException": ai.ClassInvalid,
}

// ended are the exceptions of credentials that other ones may heal.
var ended = map[string]bool{
	"ExpiredTokenException": true, "ExpiredToken": true, "UnrecognizedClientException": true, "InvalidClientTokenId": true,
}

// toldByBedrock reads an exception: its name stands in a header or in the document, and of its message only is looked for what it says of
// the model and of clocks.
func toldByBedrock(header http.Header, body []byte) told {
	var doc struct {
		Type     string `json:"__type"`
		Code     string `json:"code"`
		Message  string `json:"message"`
		Original int    `json:"originalStatusCode"`
	}
	if json.Unmarshal(body, &doc) != nil {
		doc.Message = ""
	}
	name := exception(header.Get("X-Amzn-Errortype"))
	for _, other := range []string{doc.Type, doc.Code} {
		if name == "" {
			name = exception(other)
		}
	}
	class, known := bedrockClasses[name]
	if !known {
		return told{}
	}
	t, message := told{Code: name, class: class}, doc.Message[:min(len(doc.Message), maxMessage)]
	switch name {
	case "ModelErrorException":
		if doc.Original != 0 {
			t.class = classOf(doc.Original, told{})
		}
	case "ResourceNotFoundException":
		t.noModel = true
	case "ValidationException":
		t.noModel = sessions.BlamesModel(message)
	case "AccessDeniedException":
		if strings.Contains(message, "access to the model") { // the account has the credentials, and not this model
			t.class, t.noModel = ai.ClassInvalid, true
		}
	case "InvalidSignatureException", "SignatureDoesNotMatch":
		if strings.HasPrefix(message, "Signature expired") || strings.HasPrefix(message, "Signature not yet current") {
			t.Code = codeClock
		}
	case "RequestExpired", "RequestTimeTooSkewed":
		t.Code = codeClock
	}
	return t
}

// exception is the name out of "namespace#Name:address".
func exception(name string) string {
	name, _, _ = strings.Cut(name, ":")
	if i := strings.LastIndexByte(name, '#'); i >= 0 {
		name = name[i+1:]
	}
	return strings.TrimSpace(name)
}

// unready is the fault of a call that could not be signed.
func unready(ctx context.Context, err error) *ai.Fault {
	var none *sessions.NoCredentialsError
	said := errors.New(sessions.Printable(err)) // services repeat headers and addresses
	switch {
	case ctx.Err() != nil:
		return lost(ctx, false, err)
	case errors.As(err, &none):
		return &ai.Fault{
			Class: ai.ClassAuth, Code: codeCredentials, Err: said,
			Detail: "there are no AWS credentials; flowgate health bedrock says where they were looked for",
		}
	}
	return &ai.Fault{
		Class: ai.ClassAuth, Code: codeCredentials, Err: said,
		Detail: "the AWS credentials cannot be used or renewed; flowgate health bedrock says why",
	}
}

// maxSkew is how far clocks may differ. AWS takes five minutes; the SDK corrects what is over four.
const maxSkew = 4 * time.Minute

// judge looks whether the next call can do better, where the credentials were refused: the call was then turned away at the door, and
// nothing was billed. By the answer's date the SDK now knows by how much the clocks differ, and the session may have other keys.
func (s *signature) judge(ctx context.Context, credentials *sessions.Credentials, x *exchange) {
	if s.keyID == "" {
		return
	}
	fault := x.fault
	if date, err := http.ParseTime(x.header.Get("Date")); err == nil && (fault.Code == codeClock || fault.Code == "InvalidSignatureException") {
		if off := date.Sub(s.at).Round(time.Second); off.Abs() > maxSkew {
			fault.Class, fault.Code = ai.ClassTransient, codeClock
			fault.Detail = fmt.Sprintf("the call was signed %s off the provider's clock, and refused; the next one is signed by that clock", off.Abs())
			return
		}
	}
	switch {
	case fault.Code == codeClock:
		fault.Detail = "the provider takes the signature for expired: the clocks of this machine and of the provider differ"
	case ended[fault.Code] && credentials.Renew(ctx, s.keyID, s.token):
		fault.Class, fault.Detail = ai.ClassTransient, "the credentials had ended and were renewed; the next call is signed with the new ones"
	case ended[fault.Code]:
		fault.Detail = "the provider takes the credentials for ended or unknown, and their source gives no others"
	}
}
