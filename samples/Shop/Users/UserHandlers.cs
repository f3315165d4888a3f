using Millrace;
using Millrace.WorkQueues;
using Shop.Fakes;
using Shop.Notifications;

namespace Shop.Users;

// Fan-out: two services react to user.created, each by itself. Steps that follow from each other, and are taken back: Loyalty/LoyaltyHandlers.cs.

/// <summary>Has the welcome mail sent.</summary>
public sealed class WelcomeHandlers([FromKeyedServices(NotificationNames.Mails)] JobQueue mails)
{
    [StreamConsumer(UserNames.Stream, Group = UserNames.WelcomeGroup)]
    public async Task MailWelcomeAsync(UserCreated user, MessageContext context, CancellationToken cancellationToken) =>
        await mails.EnqueueAsync(context, new SendMail(user.UserId, MailKinds.Welcome, user.Email), cancellationToken: cancellationToken);
}

/// <summary>Creates the profile.</summary>
public sealed class ProfileHandlers
{
    [StreamConsumer(UserNames.Stream, Group = UserNames.ProfilesGroup)]
    public static void CreateProfile(UserCreated user, MessageContext context) =>
        context.State.Put(UserProfile.Key(user.UserId), new UserProfile(user.UserId, user.Name, user.Email, context.Time));
}
