package sessions

// Peek says that this request is no use of the session: a page that asks by itself how
// long it lives, or whether there is news, must not keep it alive for a user who has
// gone. Where the request changes nothing, nothing is written, and the client's token
// stays as it is; what is due meanwhile, a later expiry or a new copy, is the next
// request's. A change is written as ever, and counts as use. Call it before the response
// begins.
func (s *Session) Peek() {
	if !s.usable() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peeks = true
}
