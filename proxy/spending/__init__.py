"""How is money counted: before an answer, while it comes, and after it?

What `middleware/cost` is made of, besides prices and budgets.

    extent        how much a request may take, at most
    brake         when a live answer has spent enough
    used          how much an attempt took, as far as anybody knows
    heard         how many tokens were in what was heard
    tokens        about how many tokens a text or an image has
    money         how it is counted, and written
    names         when two names mean one model
    accounting    the budgets, the ledger and the alerts together
    adoption      how budgets of minted keys come into force
    alerts        who is told that a budget is nearly spent
"""
