package provider

import "net/http"

func (s *Server) door(mux *http.ServeMux) {
	mux.HandleFunc("GET /fake/calls", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, s.Totals(r.URL.Query().Get("request")))
	})
	mux.HandleFunc("POST /fake/reset", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
}
