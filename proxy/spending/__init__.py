"""How is money counted: before an answer, while it comes, and after it?

What `middleware/cost` is made of, besides prices and budgets.
"""
