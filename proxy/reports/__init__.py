"""What does pillion tell those who run it: of requests, of providers, of money?"""
