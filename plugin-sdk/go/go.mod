module unspool

go 1.24
