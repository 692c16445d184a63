package sessions

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
)

// maxText bounds what a service's error may take on a line.
const maxText = 400

// What may hold a secret: the user part and the query of a URL; a value behind a telling name and =, in JSON, or in a header;
// an access key id. Words such as "ExpiredToken: the token …" are no secret.
var (
	urlUser  = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^/\s"'@]*@`)
	urlQuery = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s"'?]*)\?[^\s"']*`)
	assigned = regexp.MustCompile(`(?i)((?:password|passwd|secret|token|api[-_]?key|credential|signature)[a-z0-9_-]*\s*=\s*["']?)[^\s,;&"']+`)
	quoted   = regexp.MustCompile(`(?i)(["'][a-z0-9_-]*(?:password|passwd|secret|token|key|credential)[a-z0-9_-]*["']\s*:\s*)["'][^"']*["']`)
	header   = regexp.MustCompile(`(?i)((?:x-amz-security-token|authorization|(?:x-)?api[-_]key|password|passwd|secret[a-z_]*)\s*:\s*)(?:(?:bearer|basic)\s+)?[^\s,;&]+`)
	keyID    = regexp.MustCompile(`\b(?:A3T[A-Z0-9]|AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b`)
)

// Printable is an error on one line, bounded, without what may be a secret. It is for texts of services, which repeat
// addresses and headers; errors of our own hold none.
func Printable(err error) string {
	var ours *NoCredentialsError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &ours):
		return ours.Error()
	}
	return clean(err.Error())
}

func clean(text string) string {
	text = text[:min(len(text), 20*maxText)]
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	text = urlUser.ReplaceAllString(text, "$1")
	text = urlQuery.ReplaceAllString(text, "$1")
	for _, telling := range []*regexp.Regexp{assigned, quoted, header} {
		text = telling.ReplaceAllString(text, "$1***")
	}
	text = keyID.ReplaceAllString(text, "***")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}
