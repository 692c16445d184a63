package backends

import (
	"net/url"
	"strings"
)

// MLflowName is the name of the MLflow backend.
const MLflowName = "mlflow"

// DefaultMLflowURI is where a tracking server listens that somebody starts at home.
const DefaultMLflowURI = "http://127.0.0.1:5000"

// MLflowRoute is the path under which the gateway is asked.
type MLflowRoute string

// The routes.
const (
	// RouteAuto tries them in the order below. One that is not there is remembered, and nothing was billed there.
	RouteAuto MLflowRoute = "auto"
	// RouteInvocations is /gateway/{endpoint}/mlflow/invocations, for prompts and embeddings.
	RouteInvocations MLflowRoute = "invocations"
	// RouteChat is /gateway/mlflow/v1/chat/completions with the endpoint as model, for prompts.
	RouteChat MLflowRoute = "chat"
	// RouteLegacy is /endpoints/{endpoint}/invocations of the gateway server that had its endpoints in a file.
	RouteLegacy MLflowRoute = "legacy"
)

// MLflowOptions configure the MLflow backend. A model's id is the name of an endpoint of the gateway.
type MLflowOptions struct {
	HTTPOptions

	// TrackingURI is where the server is, as in http://127.0.0.1:5000. It is https, except for loopback or with AllowInsecure. A user and a
	// password that it holds count where no others are given.
	TrackingURI string
	// Token is sent as bearer token, else Username and Password as basic credentials.
	Token              string
	Username, Password string
	// Route is the path under which the gateway is asked; left out it is RouteAuto.
	Route MLflowRoute
}

// Validate names every option that is wrong. It never repeats a secret.
func (o MLflowOptions) Validate() error {
	errs := optionErrors{backend: MLflowName}
	o = o.withDefaults()
	if o.TrackingURI == "" {
		errs.add("tracking_uri", "is required, as in %s", DefaultMLflowURI)
	} else {
		o.validateBase(&errs, "tracking_uri", o.TrackingURI, DefaultMLflowURI)
	}
	validateSecret(&errs, "token", o.Token)
	switch {
	case o.Token != "" && o.Username != "":
		errs.add("token", "and username exclude each other")
	case o.Username == "" && o.Password != "":
		errs.add("username", "is required beside password")
	case strings.Contains(o.Username, ":"):
		errs.add("username", "must have no colon")
	}
	switch o.Route {
	case RouteAuto, RouteInvocations, RouteChat, RouteLegacy:
	default:
		errs.add("route", "must be %s, %s, %s or %s, is %q", RouteAuto, RouteInvocations, RouteChat, RouteLegacy, string(o.Route))
	}
	o.validate(&errs)
	return errs.join()
}

// withDefaults also takes the credentials out of the address.
func (o MLflowOptions) withDefaults() MLflowOptions {
	o.HTTPOptions = o.HTTPOptions.withDefaults()
	if o.Route == "" {
		o.Route = RouteAuto
	}
	if u, err := url.Parse(o.TrackingURI); err == nil && u.User != nil {
		if o.Token == "" && o.Username == "" && o.Password == "" {
			o.Username = u.User.Username()
			o.Password, _ = u.User.Password()
		}
		u.User = nil
		o.TrackingURI = u.String()
	}
	o.TrackingURI = strings.TrimRight(o.TrackingURI, "/")
	return o
}
