using Millrace;

namespace Shop.Notifications;

/// <summary>Names the notification service gives its stream and its group.</summary>
public static class NotificationNames
{
    public const string Stream = "notifications";

    public const string Group = "notifications";

    /// <summary>The work queue of mails: its stream, and the group of its workers.</summary>
    public const string Mails = "mails";
}

/// <summary>A mail about an order was handed to the mail gateway.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Kind">Which mail, see <see cref="Fakes.MailKinds"/>.</param>
[Message("notification.sent")]
public sealed record NotificationSent(string OrderId, string Kind);
