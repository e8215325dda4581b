module refmill.test/pause

go 1.26
