"""One file a method: which slots survive, and which slots a query reads."""
