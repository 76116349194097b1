"""Which one-to-one matching of two large dictionaries is best, exactly and with a certificate, in little memory?"""
